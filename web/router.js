/** Addresses and views: links change the view without a reload, and back and forward work. */

/** @typedef {{ name: string, id?: string, query: URLSearchParams }} Route */
/** @typedef {ReturnType<typeof createRouter>} Router */

const VIEWS = ["activity", "messages", "settings", "try", "login"];

/** A part of a path, decoded. One that cannot be decoded is no message's id, and is taken as it is. @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The route that an address stands for. An unknown one stands for the activity. @param {URL} url @returns {Route} */
export function parseRoute({ pathname, searchParams }) {
  const [name = "", id] = pathname.split("/").filter(Boolean);
  if (name === "messages" && id) return { name: "history", id: decoded(id), query: searchParams };
  return { name: VIEWS.includes(name) ? name : "activity", query: searchParams };
}

/** @param {(route: Route) => void} onRoute called for every change of address */
export function createRouter(onRoute) {
  const here = () => parseRoute(new URL(location.href));
  /** How many entries of ours are before this one. Each entry keeps its number, whichever way it is reached. */
  const depth = () => history.state?.depth ?? 0;
  /** Whether the browser is going back, which takes it a while. */
  let returning = false;
  /** @type {[string, { replace?: boolean }] | undefined} where to go once it is back */
  let next;

  /** @param {string} path @param {{ replace?: boolean }} [how] */
  function go(path, how = {}) {
    // Going back would undo this, so it waits until the browser is back. A second call does not wait.
    if (returning && !next) return void (next = [path, how]);
    returning = false;
    next = undefined;
    // As the browser does for a link to the present address.
    const isHere = new URL(path, location.href).href === location.href;
    if (how.replace || isHere) history.replaceState(history.state, "", path);
    else history.pushState({ depth: depth() + 1 }, "", path);
    onRoute(here());
  }

  function arrived() {
    const wanted = next;
    returning = false;
    next = undefined;
    if (wanted) go(...wanted);
    else onRoute(here());
  }

  /** @param {MouseEvent} event */
  function followLink(event) {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = /** @type {Element} */ (event.target).closest?.("a[data-view]");
    if (!link) return;
    event.preventDefault();
    go(/** @type {HTMLAnchorElement} */ (link).href);
  }

  document.addEventListener("click", followLink);
  addEventListener("popstate", arrived);

  return {
    go,
    current: here,
    /** Go back, or to `fallback` if the tab began here. @param {string} fallback */
    back(fallback) {
      if (depth() === 0) return go(fallback, { replace: true });
      returning = true;
      history.back();
    },
  };
}
