/** The rows of a card: read when the settings are entered and after every change, and again once that can be done. */

import { fill, h } from "../../dom.js";
import { createReadings } from "../../live/readings.js";
import { errorState } from "../../parts/state.js";

/**
 * @template T
 * @param {object} options
 * @param {import("../../desk.js").Desk} options.desk
 * @param {() => Promise<{ items: T[] }>} options.read
 * @param {(item: T) => HTMLLIElement} options.row
 * @param {string} [options.none] said where there are none
 */
export function createRows({ desk: { texts, live }, read, row, none }) {
  const list = h("ul", { class: "rows", role: "list" });
  const element = h("div", {}, list);
  const readings = createReadings();

  const load = () =>
    readings.begin(async (counts) => {
      const { items } = await read();
      if (!counts()) return;
      fill(list, items.length ? items.map(row) : none && h("li", { class: "hint" }, none));
      fill(element, list);
    }, (error) => fill(element, errorState(texts, error, load, live)));

  return { element, load };
}
