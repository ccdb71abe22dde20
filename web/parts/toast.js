/** Short messages at the foot of the page, which are read aloud. There is one at a time, with at most one action. */

import { h } from "../dom.js";
import { icon } from "../icons.js";

const SECONDS = 5;

/** @typedef {ReturnType<typeof createToasts>} Toasts */

/** @param {typeof import("../texts.js").texts} texts */
export function createToasts(texts) {
  // Only what is added to a region that is in the page already is read aloud.
  const region = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** What keeps the toast: the pointer or the focus. @type {Set<string>} */
  const kept = new Set();
  let waits = SECONDS;
  /** @type {EventTarget | null} where the focus was before it came to the toast */
  let cameFrom = null;

  /** A modal dialog makes everything outside it inert, so the toasts go where they can be read and pressed. */
  function settle() {
    const dialogs = document.querySelectorAll("dialog[open]");
    const place = dialogs[dialogs.length - 1] ?? document.body;
    if (region.parentElement === place) return;
    place.append(region);
    // Neither the pointer nor the focus moves with them.
    kept.clear();
    if (region.hasChildNodes()) wait();
  }

  function clear() {
    show();
    clearTimeout(timer);
  }

  /** @param {...HTMLElement} toasts */
  function show(...toasts) {
    const hadFocus = region.contains(document.activeElement);
    kept.clear();
    region.replaceChildren(...toasts);
    if (hadFocus && cameFrom instanceof HTMLElement) cameFrom.focus({ preventScroll: true });
  }

  function wait() {
    clearTimeout(timer);
    if (!kept.size) timer = setTimeout(clear, waits * 1000);
  }

  /** @param {string} what */
  function keep(what) {
    kept.add(what);
    clearTimeout(timer);
  }

  /** @param {string} what */
  function release(what) {
    kept.delete(what);
    if (region.hasChildNodes()) wait();
  }

  /**
   * @param {string} text
   * @param {{ action?: { label: string, run: () => void }, seconds?: number, error?: boolean }} [how]
   */
  function say(text, { action, seconds = SECONDS, error = false } = {}) {
    // What the toasts were in may have been removed from the page, as at the end of a session.
    settle();
    const act = action && h("button", { class: "toast-action", type: "button", onclick: () => (clear(), action.run()) }, action.label);
    const close = h("button", { class: "icon-button", type: "button", "aria-label": texts.close, onclick: clear }, icon("close"));
    const listeners = { onpointerenter: () => keep("pointer"), onpointerleave: () => release("pointer") };
    show(h("div", { class: error ? "toast toast-error" : "toast", ...listeners }, h("span", {}, text), act, close));
    waits = seconds;
    wait();
  }

  region.addEventListener("focusin", ({ relatedTarget }) => {
    if (!region.contains(/** @type {Node | null} */ (relatedTarget))) cameFrom = relatedTarget;
    keep("focus");
  });
  region.addEventListener("focusout", () => release("focus"));
  settle();
  new MutationObserver(settle).observe(document.body, { subtree: true, attributeFilter: ["open"] });

  return {
    say,
    /** Take away what offers an action. */
    withdraw: () => void (region.querySelector(".toast-action") && clear()),
    /** @param {{ message: string }} error */
    fail: (error) => say(error.message, { error: true, seconds: 8 }),
  };
}
