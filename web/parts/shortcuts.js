/** The sheet that lists the shortcuts, and the keys themselves. */

import { h, isTyping, onBeside } from "../dom.js";
import { icon } from "../icons.js";

const SEQUENCE_MS = 1_500;
/** Keys that repeat their action while they are held. */
const HELD = ["j", "k"];

/** @typedef {Record<string, (() => unknown) | undefined>} Actions by key; "g a" means g, then a */

/** @param {typeof import("../texts.js").texts} texts @param {HTMLElement} off says that the shortcuts are off */
function createSheet(texts, off) {
  const words = texts.shortcuts;
  /** @type {[string, [string, string][]][]} */
  const groups = [
    [words.go, [["g a", texts.nav.activity], ["g m", texts.nav.messages], ["g t", texts.nav.add], ["g s", texts.nav.settings]]],
    [words.lists, [["j", words.next], ["k", words.previous], ["Enter", words.open], ["m", words.mute], [".", words.machines]]],
    [words.anywhere, [["/", words.search], ["?", words.help], ["Esc", words.dismiss]]],
  ];
  const keys = (/** @type {string} */ text) => text.split(" ").flatMap((key, index) => [index ? ` ${words.then} ` : "", h("kbd", {}, key)]);
  const dialog = h(
    "dialog",
    { class: "sheet", "aria-labelledby": "sheet-title" },
    h(
      "div",
      { class: "sheet-frame" },
      h(
        "header",
        { class: "dialog-head" },
        h("h2", { id: "sheet-title" }, words.title),
        h("button", { class: "icon-button", type: "button", "aria-label": texts.close, onclick: () => dialog.close() }, icon("close")),
      ),
      off,
      h(
        "div",
        { class: "sheet-groups" },
        groups.map(([title, rows]) =>
          h("section", {}, h("h3", {}, title), h("dl", {}, rows.map(([key, text]) => h("div", {}, h("dt", {}, text), h("dd", {}, keys(key)))))),
        ),
      ),
    ),
  );
  onBeside(dialog, () => dialog.close());
  return dialog;
}

/**
 * @param {object} parts
 * @param {typeof import("../texts.js").texts} parts.texts
 * @param {() => boolean} parts.enabled
 * @param {Actions} parts.actions
 * @param {AbortSignal} parts.ended
 */
export function createShortcuts({ texts, enabled, actions, ended }) {
  const off = h("p", { class: "note" }, texts.shortcuts.off);
  const sheet = createSheet(texts, off);
  const open = () => {
    off.hidden = enabled();
    if (!sheet.open) sheet.showModal();
  };
  /** @type {Actions} */
  const all = { ...actions, "?": open };
  let first = "";
  let at = 0;

  /** @param {KeyboardEvent} event */
  function pressed(event) {
    if (!enabled() || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || isTyping(event) || sheet.open) return;
    const isNamed = event.key.length > 1;
    // In a browser, Shift and Enter open a link in a new window.
    if (isNamed && event.shiftKey) return;
    const key = isNamed ? event.key : event.key.toLowerCase();
    if (event.repeat && !HELD.includes(key)) return void (all[key] && event.preventDefault());
    const before = event.timeStamp - at < SEQUENCE_MS ? first : "";
    first = before ? "" : key;
    at = event.timeStamp;
    const action = all[before ? `${before} ${key}` : key] ?? all[key];
    if (!action) return;
    event.preventDefault();
    first = "";
    action();
  }
  addEventListener("keydown", pressed, { signal: ended });
  return { sheet, open };
}
