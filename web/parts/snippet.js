/** A pixel's snippet, to be put into a mail: as HTML, or as an image that can be pasted. */

import { h } from "../dom.js";
import { copyButton } from "./copy.js";

/**
 * @param {object} parts
 * @param {typeof import("../texts.js").texts} parts.texts
 * @param {import("./toast.js").Toasts} parts.toasts
 */
export function createSnippets({ texts, toasts }) {
  const say = texts.add;

  /** @param {import("../api.js").Message["pixels"][number]} pixel */
  return function snippet({ recipient, html }) {
    const label = recipient ? say.snippetFor(recipient) : say.snippet;
    const code = h("textarea", { class: "snippet", readonly: true, rows: "3", spellcheck: "false", "aria-label": label, "prop:value": html });
    code.addEventListener("focus", () => code.select());
    const asImage = () =>
      navigator.clipboard.write([
        new ClipboardItem({ "text/html": new Blob([html], { type: "text/html" }), "text/plain": new Blob([html], { type: "text/plain" }) }),
      ]);
    return h(
      "div",
      { class: "snippet-box" },
      code,
      h(
        "div",
        { class: "buttons" },
        copyButton({ texts, label: say.copyHtml, toasts, copy: () => navigator.clipboard.writeText(html) }),
        copyButton({ texts, label: say.copyImage, toasts, copy: asImage }),
      ),
    );
  };
}
