/** The rows of a card. They are read when the settings are entered and after every change, and if that failed, once the hub is back. */

import { fill, h } from "../../dom.js";
import { createReadings } from "../../live/readings.js";
import { errorState } from "../../parts/state.js";

/**
 * @template T
 * @param {object} options
 * @param {import("../../desk.js").Desk} options.desk
 * @param {() => Promise<{ items: T[] }>} options.read
 * @param {(item: T) => HTMLLIElement} options.row with its id as `data-id`
 * @param {string} [options.none] the text if there are none
 */
export function createRows({ desk: { texts, live }, read, row, none }) {
  const list = h("ul", { class: "rows", role: "list" });
  const element = h("div", {}, list);
  const readings = createReadings();

  const load = () =>
    readings.begin(async (counts) => {
      const { items } = await read();
      if (!counts()) return;
      keepFocus(() => {
        fill(list, items.length ? items.map(row) : none && h("li", { class: "hint" }, none));
        fill(element, list);
      });
    }, (error) => keepFocus(() => fill(element, errorState(texts, error, load, live))));

  /** Keep the focus near its row: in the same, the next or the one before it, else on the first button or the heading. @param {() => void} draw */
  function keepFocus(draw) {
    const there = /** @type {HTMLElement[]} */ ([...list.children]);
    const at = there.findIndex((one) => one.contains(document.activeElement));
    const had = element.contains(document.activeElement);
    draw();
    if (!had) return;
    const near = [...there.slice(Math.max(0, at)), ...there.slice(0, Math.max(0, at)).reverse()];
    const left = near.map(({ dataset }) => element.querySelector(`[data-id="${dataset.id}"] button`)).find(Boolean);
    const heading = element.closest("section")?.querySelector("h2");
    /** @type {HTMLElement | null | undefined} */ (left ?? element.querySelector("button") ?? heading)?.focus();
  }

  return { element, load };
}
