/** The connection's quiet sign: a dot and a word, and a button if only the user can connect again. */

import { fill, h } from "../dom.js";

/**
 * @param {typeof import("../texts.js").texts} texts
 * @param {import("../live/live.js").Live} live
 */
export function createConnectionSign(texts, live) {
  const label = h("span", { class: "connection-text" });
  const element = h("div", { class: "connection", role: "status" }, h("span", { class: "connection-dot", "aria-hidden": "true" }), label);
  const again = h("button", { class: "link-button", type: "button", onclick: () => live.start() }, texts.connection.useHere);

  /** @param {import("../client.js").State} state */
  function show(state) {
    const shown = element.dataset.state;
    // Else every try would be read aloud for as long as the hub is away.
    if (shown === "waiting" && (state === "connecting" || state === shown)) return;
    const hadFocus = again === document.activeElement;
    element.dataset.state = state;
    element.title = "";
    fill(label, texts.connection[state]);
    // The button that was pressed is gone.
    if (hadFocus) document.getElementById("content")?.focus({ preventScroll: true });
  }

  show(live.state);
  live.on("state", ({ state }) => show(state));
  live.on("refused", ({ code }) => {
    element.title = texts.connection.refusal(code);
    fill(label, texts.connection.refusal(code), code === 4409 && [" ", again]);
  });
  return element;
}
