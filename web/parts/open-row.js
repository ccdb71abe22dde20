/** One open as a row: who, which mail, when, where, on what; and if it does not count, why not. */

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

/** One or two letters for a name or an address: "LS" for "Lena (Sales)". @param {string} name */
function initials(name) {
  const parts = name.split("@")[0].split(/[\s._-]+\p{P}*|^\p{P}+/u).filter(Boolean);
  return parts.slice(0, 2).map(([first]) => first.toLocaleUpperCase()).join("");
}

/** @param {Open} open @returns {Parameters<typeof icon>[0]} */
function symbolOf(open) {
  if (open.counted) return "people";
  if (open.repeat) return "repeat";
  return open.verdict === "self" ? "self" : "machine";
}

/** A sign for who it was: a reader's initials, or an icon. @param {Open} open @param {import("../words.js").Words} words */
function symbol(open, words) {
  const { recipient } = open;
  if (!open.counted || !recipient) {
    return h("span", { class: open.counted ? "open-symbol" : "open-symbol is-machine" }, icon(symbolOf(open)));
  }
  const text = initials(words.name(recipient));
  return h("span", { class: "open-symbol is-named", "aria-hidden": "true", "css:hue": String(hueOf(recipient.address)) }, text);
}

/** @param {Element} element @param {string} text */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Add a child if it is wanted and missing, or remove it if it is not. @param {Element} parent @param {Element} child @param {boolean} wanted @param {"append" | "prepend"} how */
function place(parent, child, wanted, how) {
  if (!wanted) child.remove();
  else if (child.parentElement !== parent) parent[how](child);
}

/**
 * @param {object} parts
 * @param {typeof import("../texts.js").texts} parts.texts
 * @param {import("../format.js").Format} parts.format
 * @param {import("../words.js").Words} parts.words
 * @param {boolean} parts.withMessage whether to name the mail and link to its history
 */
export function createOpenRows({ texts, format, words, withMessage }) {
  /**
   * @param {Open} open
   * @param {Brief} [message]
   * @returns {OpenRow}
   */
  return function openRow(open, message) {
    // These elements stay while their texts change: they may have the focus, or be pressed just now.
    const element = h("li", { class: "open", "data-open": open.id, "data-message": open.message_id, tabindex: withMessage ? "-1" : null });
    const link = h("a", { class: "open-subject", href: `/messages/${open.message_id}`, "data-view": true });
    const who = h("strong", { class: "open-who" });
    const first = h("span");
    const tag = h("span", { class: "tag" }, icon("muted"), texts.messages.muted);
    /** @type {{ open?: Open, taken?: boolean }} what is drawn */
    let drawn = {};
    let line = h("p");
    let facts = h("p");

    /** Draw what does not depend on the mail. @param {Open} open @param {boolean} taken */
    function draw(open, taken) {
      const plain = open.counted || taken;
      const hadFocus = document.activeElement === link;
      line = withMessage
        ? h("p", { class: "open-line" }, who, plain ? ` ${texts.activity.verb} ` : " · ", link)
        : h("p", { class: "open-line" }, who);
      facts = h("p", { class: "open-facts" }, words.facts(open).map((fact) => h("span", {}, fact)));
      element.classList.toggle("is-uncounted", !open.counted);
      element.classList.toggle("is-taken", taken);
      fill(
        element,
        symbol(open, words),
        h(
          "div",
          { class: "open-body" },
          taken ? h("s", {}, line) : line,
          facts,
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
      );
      if (hadFocus) link.focus({ preventScroll: true });
    }

    /** Say what depends on the mail. @param {Open} open @param {Brief | undefined} message @param {boolean} taken */
    function tell(open, message, taken) {
      const plain = open.counted || taken;
      const name = plain ? null : open.recipient && words.who(open, message);
      setText(who, plain ? words.who(open, message) : words.verdict(open));
      setText(link, words.subject(message, texts.activity.unread));
      setText(first, name ?? (plain && withMessage && message ? texts.activity.times(message.opens, format.number(message.opens)) : ""));
      place(facts, first, Boolean(first.textContent), "prepend");
      place(line, tag, withMessage && Boolean(message?.muted), "append");
    }

    /** @type {OpenRow} */
    const row = {
      element,
      update(next, brief, taken = false) {
        if (drawn.open !== next || drawn.taken !== taken) draw(next, taken);
        drawn = { open: next, taken };
        tell(next, brief, taken);
      },
    };
    row.update(open, message);
    return row;
  };
}
