/** What a view shows instead of its content: that it is empty, that it is loading, that it failed. */

import { h } from "../dom.js";
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
 * What could not be loaded is tried again on a click, and by itself once the hub is there again.
 * @param {typeof import("../texts.js").texts} texts
 * @param {{ message: string, began?: number }} error
 * @param {() => void} retry
 * @param {import("../live/live.js").Live} [live]
 */
export function errorState(texts, error, retry, live) {
  const action = againButton(texts, retry);
  return untilLive(emptyState({ symbol: "close", title: texts.errors.page, text: error.message, action }), error, retry, live);
}

/**
 * The same below a list, of which only the next page could not be loaded.
 * @param {typeof import("../texts.js").texts} texts
 * @param {{ message: string, began?: number }} error
 * @param {() => void} retry
 * @param {import("../live/live.js").Live} live
 */
export function pageError(texts, error, retry, live) {
  return untilLive(h("div", { class: "page-error" }, h("p", { class: "hint" }, error.message), againButton(texts, retry)), error, retry, live);
}

/** @param {typeof import("../texts.js").texts} texts @param {() => void} retry */
const againButton = (texts, retry) => h("button", { class: "button", type: "button", onclick: retry }, texts.retry);

/** @param {HTMLElement} state @param {{ began?: number }} error @param {() => void} retry @param {import("../live/live.js").Live} [live] */
function untilLive(state, error, retry, live) {
  state.setAttribute("role", "alert");
  const stop = live?.on("state", (now) => {
    if (state.isConnected && now.state !== "live") return;
    stop?.();
    if (state.isConnected) retry();
  });
  // What was asked for before the hub was there again, and failed only after, has missed that.
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
