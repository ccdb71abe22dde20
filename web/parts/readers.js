/** The recipients of a message, with what is known of each. Nothing is claimed of those who share a pixel. */

import { fill, h } from "../dom.js";
import { timeAgo } from "./time.js";

const FIRST_SHOWN = 50;

/** @typedef {import("../api.js").Message} Message */

/** Those who opened it, the latest first, then the others in the mail's order. @param {Message["recipients"]} recipients */
const latestFirst = (recipients) =>
  [...recipients].sort(({ last_opened_at: one }, { last_opened_at: other }) => (one === other ? 0 : (one ?? "") < (other ?? "") ? 1 : -1));

/**
 * @param {object} parts
 * @param {typeof import("../texts.js").texts} parts.texts
 * @param {import("../format.js").Format} parts.format
 * @param {import("../words.js").Words} parts.words
 */
export function createReaders({ texts, format, words }) {
  let id = "";
  let isWhole = false;
  /** @type {Message["recipients"]} */
  let all = [];
  const count = h("span", { class: "count" });
  const list = h("ul", { class: "readers", role: "list", tabindex: "-1", "aria-label": texts.history.readers });
  const more = h("button", { class: "button is-wide", type: "button", onclick: showAll });

  /** @param {Message["recipients"][number]} reader */
  function row(reader) {
    const { address, opens, last_opened_at } = reader;
    const name = words.name(reader);
    return h(
      "li",
      { class: opens ? "reader is-opened" : "reader" },
      h("span", { class: "reader-name" }, name, name !== address && h("span", { class: "reader-address" }, address)),
      opens !== null &&
        h(
          "span",
          { class: "reader-opens" },
          opens ? texts.messages.opens(opens, format.number(opens)) : texts.messages.notOpened,
          last_opened_at && h("span", { class: "reader-last" }, timeAgo(format, last_opened_at)),
        ),
    );
  }

  function draw() {
    const rows = isWhole ? all : all.slice(0, FIRST_SHOWN);
    count.textContent = format.number(all.length);
    fill(list, rows.map(row));
    more.textContent = texts.history.moreReaders(format.number(all.length - rows.length));
    more.hidden = rows.length === all.length;
  }

  function showAll() {
    isWhole = true;
    draw();
    list.focus({ preventScroll: true });
  }

  return {
    element: h("section", {}, h("h3", {}, texts.history.readers, " ", count), list, more),
    /** @param {Message} message */
    show(message) {
      if (message.id !== id) isWhole = false;
      id = message.id;
      all = latestFirst(message.recipients);
      draw();
    },
  };
}
