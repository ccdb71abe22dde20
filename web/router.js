/** Addresses and views: links change the view without a reload, and back and forward work. */

/** @typedef {{ name: string, id?: string, query: URLSearchParams }} Route */
/** @typedef {ReturnType<typeof createRouter>} Router */

const VIEWS = ["activity", "messages", "settings", "try", "login"];

/** The route an address stands for; one we do not know is the activity. @param {URL} url @returns {Route} */
export function parseRoute({ pathname, searchParams }) {
  const [name = "", id] = pathname.split("/").filter(Boolean);
  if (name === "messages" && id) return { name: "history", id: decodeURIComponent(id), query: searchParams };
  return { name: VIEWS.includes(name) ? name : "activity", query: searchParams };
}

/** @param {(route: Route) => void} onRoute called for every change of address */
export function createRouter(onRoute) {
  const here = () => parseRoute(new URL(location.href));
  let depth = 0;

  /** @param {string} path @param {{ replace?: boolean }} [how] */
  function go(path, { replace = false } = {}) {
    if (replace) history.replaceState(null, "", path);
    else {
      history.pushState(null, "", path);
      depth += 1;
    }
    onRoute(here());
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
  addEventListener("popstate", () => {
    depth = Math.max(0, depth - 1);
    onRoute(here());
  });

  return {
    go,
    current: here,
    /** Back to where we came from; `fallback` if the tab began here. @param {string} fallback */
    back(fallback) {
      if (depth > 0) history.back();
      else go(fallback, { replace: true });
    },
  };
}
