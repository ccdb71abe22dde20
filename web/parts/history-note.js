/** What one must know to read a message's history, and for one that is not sent yet, what is left to do. */

import { fill, h, whileBusy } from "../dom.js";
import { createSnippets } from "./snippet.js";

/** @typedef {import("../api.js").Message} Message */

/**
 * @param {object} parts
 * @param {typeof import("../texts.js").texts} parts.texts
 * @param {import("../format.js").Format} parts.format
 * @param {import("../words.js").Words} parts.words
 * @param {import("./toast.js").Toasts} parts.toasts
 * @param {(message: Message) => Promise<void>} parts.onSent the user says that it is sent
 */
export function createHistoryNote({ texts, format, words, toasts, onSent }) {
  const snippet = createSnippets({ texts, toasts });
  const element = h("div", { class: "note" });
  let shown = "";

  /** @param {Message} of */
  function text({ tracked, sent_at, recipients, pixels }) {
    if (!tracked) return texts.history.noneTracked;
    if (!sent_at) return texts.history.draft;
    if (!words.isSent({ sent_at })) return texts.history.scheduled(format.dateTime(sent_at));
    return recipients.length > 1 && pixels.length === 1 ? texts.history.shared : "";
  }

  /** @param {Message} message */
  function draft(message) {
    const sent = h("button", { class: "button is-primary", type: "button", onclick: whileBusy(() => onSent(message), toasts.fail) }, texts.add.sent);
    const whose = (/** @type {string | null} */ recipient) => message.pixels.length > 1 && h("p", {}, recipient);
    return [h("div", { class: "snippets" }, message.pixels.flatMap((pixel) => [whose(pixel.recipient), snippet(pixel)])), sent];
  }

  return {
    element,
    /** Draw the note, unless nothing has changed: its buttons and fields may be in use. @param {Message} message */
    show(message) {
      const said = text(message);
      const key = `${message.id} ${said}`;
      if (key === shown) return;
      shown = key;
      element.hidden = !said;
      fill(element, h("p", {}, said), ...(message.tracked && !message.sent_at ? draft(message) : []));
    },
  };
}
