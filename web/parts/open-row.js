/** One open as a row: who, which mail, when, where, on what; and, for what is no open, why not. */

import { fill, h } from "../dom.js";
import { icon } from "../icons.js";
import { timeAgo } from "./time.js";

/** @typedef {import("../client.js").Open} Open */
/** @typedef {import("../words.js").Brief} Brief */
/** @typedef {{ update: (open: Open, message?: Brief, taken?: boolean) => void, element: HTMLLIElement }} OpenRow */

/** A hue from 0 to 359, always the same for the same text. @param {string} text */
function hueOf(text) {
  let sum = 0;
  for (const character of text) sum = (sum * 31 + Number(character.codePointAt(0))) % 360;
  return sum;
}

/** One or two letters for a name or an address. @param {string} name */
function initials(name) {
  const parts = name.split("@")[0].split(/[\s._-]+/).filter(Boolean);
  return parts.slice(0, 2).map(([first]) => first.toLocaleUpperCase()).join("");
}

/** @param {Open} open @returns {Parameters<typeof icon>[0]} */
function symbolOf(open) {
  if (open.counted) return "people";
  if (open.repeat) return "repeat";
  return open.verdict === "self" ? "self" : "machine";
}

/** Who it was, at a glance: a reader's initials, or a sign for what it was. @param {Open} open */
function symbol(open) {
  const { recipient } = open;
  if (!open.counted || !recipient) {
    return h("span", { class: open.counted ? "open-symbol" : "open-symbol is-machine" }, icon(symbolOf(open)));
  }
  const text = initials(recipient.name || recipient.address);
  return h("span", { class: "open-symbol is-named", "aria-hidden": "true", "css:hue": String(hueOf(recipient.address)) }, text);
}

/**
 * @param {object} parts
 * @param {typeof import("../texts.js").texts} parts.texts
 * @param {import("../format.js").Format} parts.format
 * @param {import("../words.js").Words} parts.words
 * @param {boolean} parts.withMessage whether to name the mail and link to its history
 */
export function createOpenRows({ texts, format, words, withMessage }) {
  /** @param {Open} open @param {Brief | undefined} message @param {boolean} taken */
  function content(open, message, taken) {
    const plain = open.counted || taken;
    const who = plain ? words.who(open, message) : words.verdict(open);
    const facts = [
      plain || !open.recipient ? null : words.who(open, message),
      withMessage && plain && message ? texts.activity.times(message.opens, format.number(message.opens)) : null,
      ...words.facts(open),
    ].filter(Boolean);
    const line = withMessage
      ? h(
          "p",
          { class: "open-line" },
          h("strong", { class: "open-who" }, who),
          plain && ` ${texts.activity.verb} `,
          !plain && " · ",
          h("a", { class: "open-subject", href: `/messages/${open.message_id}`, "data-view": true }, words.subject(message)),
          message?.muted && h("span", { class: "tag" }, icon("muted"), texts.messages.muted),
        )
      : h("p", { class: "open-line" }, h("strong", { class: "open-who" }, who));
    return [
      symbol(open),
      h(
        "div",
        { class: "open-body" },
        taken ? h("s", {}, line) : line,
        h("p", { class: "open-facts" }, facts.map((fact) => h("span", {}, fact))),
        taken && h("p", { class: "open-why" }, words.takenBack(open)),
        !open.counted &&
          h(
            "p",
            { class: "open-why" },
            taken ? "" : `${words.meaning(open)} `,
            open.reasons.length > 0 && h("span", {}, `${texts.activity.reasons} ${open.reasons.join(". ")}. ${texts.confidence[open.confidence]}`),
          ),
      ),
      h("span", { class: "open-when" }, timeAgo(format, open.at)),
    ];
  }

  /**
   * @param {Open} open
   * @param {Brief} [message]
   * @returns {OpenRow}
   */
  return function openRow(open, message) {
    const element = h("li", { class: "open", "data-open": open.id, tabindex: withMessage ? "-1" : null });
    /** @type {OpenRow} */
    const row = {
      element,
      update(next, brief, taken = false) {
        element.classList.toggle("is-uncounted", !next.counted);
        element.classList.toggle("is-taken", taken);
        element.dataset.message = next.message_id;
        fill(element, ...content(next, brief, taken));
      },
    };
    row.update(open, message);
    return row;
  };
}
