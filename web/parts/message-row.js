/** One message as a row of the list: what, to whom, how often opened and when, with its small picture. */

import { h } from "../dom.js";
import { icon } from "../icons.js";
import { timeAgo } from "./time.js";

/**
 * @param {object} parts
 * @param {typeof import("../texts.js").texts} parts.texts
 * @param {import("../format.js").Format} parts.format
 * @param {import("../words.js").Words} parts.words
 * @param {import("./sparks.js").Sparks} parts.sparks
 */
export function createMessageRows({ texts, format, words, sparks }) {
  /** @param {import("../api.js").Message} message */
  function status(message) {
    if (!message.tracked) return h("span", { class: "tag" }, texts.messages.untracked);
    const { sent_at: due } = message;
    const title = due && texts.messages.toBeSent(format.dateTime(due));
    if (!due || !words.isSent(message)) return h("span", { class: "tag", title, "data-due": due }, texts.messages.draft);
    return h("span", { class: "message-sent" }, timeAgo(format, due));
  }

  /** @param {import("../api.js").Message} message */
  return function messageRow(message) {
    const opens = texts.messages.opens(message.opens, format.number(message.opens));
    const none = message.tracked ? texts.messages.notOpened : texts.messages.notKnown;
    return h(
      "a",
      { class: message.opens ? "message is-opened" : "message", href: `/messages/${message.id}`, "data-view": true, "data-message": message.id },
      h(
        "span",
        { class: "message-main" },
        h("span", { class: "message-subject" }, words.subject(message)),
        h("span", { class: "message-to" }, words.to(message)),
      ),
      message.muted && h("span", { class: "message-muted", title: texts.messages.muted }, icon("muted"), h("span", { class: "sr-only" }, texts.messages.muted)),
      h("span", { class: "message-chart" }, message.opens > 0 && sparks.picture(message, texts.messages.chart(opens))),
      h(
        "span",
        { class: "message-opens" },
        h("span", { class: "message-count" }, message.opens ? opens : none),
        message.last_opened_at && h("span", { class: "message-last" }, timeAgo(format, message.last_opened_at)),
      ),
      status(message),
    );
  };
}
