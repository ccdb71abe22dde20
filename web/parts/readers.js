/** The recipients of a message, with what is known of each; nothing is claimed where they share a pixel. */

import { h } from "../dom.js";
import { timeAgo } from "./time.js";

const FIRST_SHOWN = 50;

/**
 * @param {object} parts
 * @param {typeof import("../texts.js").texts} parts.texts
 * @param {import("../format.js").Format} parts.format
 */
export function createReaders({ texts, format }) {
  /** @param {import("../api.js").Message} message */
  return function readers({ recipients }) {
    const rows = recipients.slice(0, FIRST_SHOWN).map(({ address, name, opens, last_opened_at }) =>
      h(
        "li",
        { class: opens ? "reader is-opened" : "reader" },
        h("span", { class: "reader-name" }, name || address, name && h("span", { class: "reader-address" }, address)),
        opens !== null &&
          h(
            "span",
            { class: "reader-opens" },
            opens ? texts.messages.opens(opens, format.number(opens)) : texts.messages.notOpened,
            last_opened_at && h("span", { class: "reader-last" }, timeAgo(format, last_opened_at)),
          ),
      ),
    );
    const others = recipients.length - rows.length;
    return h(
      "section",
      {},
      h("h3", {}, texts.history.readers, h("span", { class: "count" }, format.number(recipients.length))),
      h("ul", { class: "readers", role: "list" }, rows, others > 0 && h("li", { class: "hint" }, texts.history.moreReaders(format.number(others)))),
    );
  };
}
