/** What is read aloud of the feed: that a mail was opened, and that this was taken back. */

import { h } from "../dom.js";

/** @typedef {import("../client.js").Open} Open */
/** @typedef {import("../words.js").Brief} Brief */

/** @param {{ texts: typeof import("../texts.js").texts, words: import("../words.js").Words }} parts */
export function createAloud({ texts, words }) {
  const element = h("p", { class: "sr-only", role: "status" });
  /** @type {Set<string>} the ids of opens that were read aloud and not taken back */
  const read = new Set();
  /** @type {{ text: string, id?: string } | undefined} what is read next: of several at once, the last */
  let next;

  /** @param {Open} open @param {Brief} message */
  const news = (open, message) => texts.activity.announce(words.who(open, message), words.subject(message));

  return {
    element,
    /** @param {Open} open @param {Brief} message */
    opened(open, message) {
      next = { text: news(open, message), id: open.id };
    },
    /** @param {Open} open @param {Brief} message */
    corrected(open, message) {
      if (open.counted) return;
      if (next?.id === open.id) next = undefined;
      if (read.delete(open.id)) next = { text: texts.activity.announceBack(words.takenBack(open), news(open, message)) };
    },
    say() {
      if (next && !document.hidden) {
        element.textContent = next.text;
        if (next.id) read.add(next.id);
      }
      next = undefined;
    },
  };
}
