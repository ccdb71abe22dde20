/** A button that copies, and says that it did. */

import { fill, h } from "../dom.js";
import { icon } from "../icons.js";

const SAID_MS = 2_000;

/**
 * @param {object} options
 * @param {typeof import("../texts.js").texts} options.texts
 * @param {string} options.label
 * @param {() => Promise<void>} options.copy
 * @param {import("./toast.js").Toasts} options.toasts
 */
export function copyButton({ texts, label, copy, toasts }) {
  const button = h("button", { class: "button", type: "button", onclick: run });
  const said = h("span", { class: "sr-only", role: "status" });
  const show = (/** @type {"copy" | "check"} */ symbol, /** @type {string} */ text) => fill(button, icon(symbol), text);

  async function run() {
    try {
      await copy();
      show("check", texts.copied);
      said.textContent = texts.copied;
      setTimeout(() => {
        show("copy", label);
        said.textContent = "";
      }, SAID_MS);
    } catch {
      toasts.say(texts.errors.copy, { error: true });
    }
  }

  show("copy", label);
  return h("span", {}, button, said);
}
