/** What a view shows instead of its content: that there is none, that it is loading, that it could not be loaded. */

import { h, whileBusy } from "../dom.js";
import { icon } from "../icons.js";

/**
 * @param {object} options
 * @param {Parameters<typeof icon>[0]} options.symbol
 * @param {string} [options.title]
 * @param {string} options.text
 * @param {Node} [options.action]
 */
export function emptyState({ symbol, title, text, action }) {
  return h(
    "div",
    { class: "empty" },
    h("div", { class: "empty-symbol" }, icon(symbol)),
    title && h("h2", {}, title),
    h("p", {}, text),
    action,
  );
}

/**
 * Says that something could not be loaded. It is tried again on a click, and by itself once the hub is back.
 * @param {typeof import("../texts.js").texts} texts
 * @param {{ message: string, began?: number }} error
 * @param {() => unknown} retry
 * @param {import("../live/live.js").Live} [live]
 */
export function errorState(texts, error, retry, live) {
  const again = createAgain(texts, retry, () => again.button.closest("dialog [tabindex]"));
  const state = emptyState({ symbol: "close", title: texts.errors.page, text: error.message, action: again.button });
  return untilLive(state, error, again.run, live);
}

/**
 * The same below a list, if only its next page could not be loaded. After a click the focus goes to the last row.
 * @param {typeof import("../texts.js").texts} texts
 * @param {{ message: string, began?: number }} error
 * @param {() => unknown} retry
 * @param {import("../live/live.js").Live} live
 */
export function pageError(texts, error, retry, live) {
  const again = createAgain(texts, retry, () => [...(state.parentElement?.previousElementSibling?.querySelectorAll("a") ?? [])].at(-1));
  const state = h("div", { class: "page-error" }, h("p", { class: "hint" }, error.message), again.button);
  return untilLive(state, error, again.run, live);
}

/**
 * @param {typeof import("../texts.js").texts} texts
 * @param {() => unknown} retry
 * @param {() => HTMLElement | null | undefined} near finds what takes the focus when the button goes; else the content does
 */
function createAgain(texts, retry, near) {
  async function run() {
    const hadFocus = button === document.activeElement;
    const place = near();
    function goOn() {
      if (hadFocus && document.activeElement === document.body) (place ?? document.getElementById("content"))?.focus({ preventScroll: true });
    }
    const trying = retry();
    goOn();
    await trying;
    goOn();
  }
  const button = h("button", { class: "button", type: "button", onclick: whileBusy(run, reportError) }, texts.retry);
  return { button, run };
}

/** @param {HTMLElement} state @param {{ began?: number }} error @param {() => unknown} retry @param {import("../live/live.js").Live} [live] */
function untilLive(state, error, retry, live) {
  state.setAttribute("role", "alert");
  const stop = live?.on("state", (now) => {
    if (state.isConnected && now.state !== "live") return;
    stop?.();
    if (state.isConnected) retry();
  });
  // A request that began before the hub was back, and failed after that, has missed the change of state.
  if (live?.state === "live" && error.began !== undefined && error.began < live.backSince) setTimeout(() => state.isConnected && retry());
  return state;
}

/** Grey lines where rows will be. @param {string} label @param {number} [rows] */
export function skeleton(label, rows = 6) {
  return h(
    "div",
    { class: "skeleton", role: "status" },
    h("span", { class: "sr-only" }, label),
    Array.from({ length: rows }, () => h("div", { class: "skeleton-row", "aria-hidden": "true" })),
  );
}
