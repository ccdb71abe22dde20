/** Short messages at the foot of the page, read aloud; one at a time, with at most one thing to do about it. */

import { h } from "../dom.js";
import { icon } from "../icons.js";

const SECONDS = 5;

/** @typedef {ReturnType<typeof createToasts>} Toasts */

/** @param {typeof import("../texts.js").texts} texts */
export function createToasts(texts) {
  const region = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  function clear() {
    clearTimeout(timer);
    region.replaceChildren();
  }

  /**
   * @param {string} text
   * @param {{ action?: { label: string, run: () => void }, seconds?: number, error?: boolean }} [how]
   */
  function say(text, { action, seconds = SECONDS, error = false } = {}) {
    const act = action && h("button", { class: "toast-action", type: "button", onclick: () => (clear(), action.run()) }, action.label);
    const close = h("button", { class: "icon-button", type: "button", "aria-label": texts.close, onclick: clear }, icon("close"));
    // A modal dialog makes everything outside it inert, so the toast goes where it can be read and pressed.
    const dialogs = document.querySelectorAll("dialog[open]");
    (dialogs[dialogs.length - 1] ?? document.body).append(region);
    region.replaceChildren(h("div", { class: error ? "toast toast-error" : "toast" }, h("span", {}, text), act, close));
    clearTimeout(timer);
    timer = setTimeout(clear, seconds * 1000);
  }

  return {
    say,
    clear,
    /** @param {{ message: string }} error */
    fail: (error) => say(error.message, { error: true, seconds: 8 }),
    region,
  };
}
