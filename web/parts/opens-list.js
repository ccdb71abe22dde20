/** Every open of one message, newest first, with a switch for hits that do not count and a button for older opens. */

import { h } from "../dom.js";
import { createOpenRows } from "./open-row.js";
import { createSwitch } from "./switch.js";

/** @typedef {import("../client.js").Open} Open */
/** @typedef {import("./open-row.js").OpenRow} OpenRow */

/**
 * @param {object} parts
 * @param {typeof import("../texts.js").texts} parts.texts
 * @param {import("../format.js").Format} parts.format
 * @param {import("../words.js").Words} parts.words
 * @param {import("../live/messages.js").MessageBook} parts.book
 * @param {(wanted: boolean) => void | Promise<unknown>} parts.onMachines called with whether hits that do not count are wanted
 * @param {() => unknown} parts.onMore called when older opens are wanted
 * @param {() => unknown} parts.onLast called when the button for older ones had the focus and is gone, as there are no more
 */
export function createOpensList({ texts, format, words, book, onMachines, onMore, onLast }) {
  const openRow = createOpenRows({ texts, format, words, withMessage: false });
  /** @type {Map<string, { open: Open, row: OpenRow }>} the rows in the list */
  const rows = new Map();
  /** @type {Set<string>} the ids of opens that were taken back while this page showed them */
  const taken = new Set();

  const toggle = createSwitch({ id: "history-machines", label: texts.history.machines, checked: false, onChange: onMachines });
  const list = h("ol", { class: "opens", role: "list" });
  const none = h("p", { class: "hint" }, texts.history.none);
  const older = h("button", { class: "button is-wide", type: "button", onclick: onMore }, texts.history.more);
  const element = h(
    "section",
    { class: "history-every" },
    h("div", { class: "history-every-head" }, h("h3", {}, texts.history.everyOpen), toggle.element),
    list,
    none,
    older,
  );

  /** The row of an open, which shows it as it is now. @param {Open} open */
  function rowOf(open) {
    let known = rows.get(open.id);
    if (known?.open === open) return known.row;
    const brief = book.peek(open.message_id);
    known = { open, row: known?.row ?? openRow(open, brief) };
    known.row.update(open, brief, taken.has(open.id));
    rows.set(open.id, known);
    return known.row;
  }

  return {
    element,
    /** Show whether hits that do not count are wanted. @param {boolean} wanted */
    setMachines: (wanted) => toggle.set(wanted),
    /** @param {string} id of an open that was shown as one that counts, and does not count any more */
    takeBack: (id) => taken.add(id),
    /** Whether older ones are being read. @param {boolean} busy */
    setBusy(busy) {
      older.ariaBusy = busy ? "true" : null;
    },
    /**
     * Rows that are in the list already stay in the document: one may be pressed just now.
     *
     * @param {Open[]} opens
     * @param {boolean} hasMore whether there are older ones
     */
    show(opens, hasMore) {
      const there = new Set(opens.map((open) => open.id));
      for (const [id, { row }] of rows) {
        if (there.has(id)) continue;
        row.element.remove();
        rows.delete(id);
      }
      /** @type {Element | null} */
      let place = list.firstElementChild;
      for (const open of opens) {
        const { element } = rowOf(open);
        if (element === place) place = place.nextElementSibling;
        else list.insertBefore(element, place);
      }
      list.hidden = !opens.length;
      none.hidden = opens.length > 0;
      if (!hasMore && older === document.activeElement) onLast();
      older.hidden = !hasMore;
    },
  };
}
