/** A message's opens at a glance: how many, when, from where. */

import { h } from "../dom.js";
import { bars, timeline } from "./charts.js";
import { timeAgo } from "./time.js";

const MOST_PLACES = 6;

/** @typedef {import("../client.js").Open} Open */
/** @typedef {import("../api.js").Message} Message */

/**
 * @param {object} parts
 * @param {typeof import("../texts.js").texts} parts.texts
 * @param {import("../format.js").Format} parts.format
 * @param {import("../words.js").Words} parts.words
 */
export function createPictures({ texts, format, words }) {
  /** How many opens a picture shows, if that is not all of them. @param {Open[]} counted @param {boolean} isAll */
  const latest = (counted, isAll) => !isAll && h("span", { class: "count" }, texts.history.latest(format.number(counted.length)));

  return {
    /** @param {Message} of */
    figures({ opens, first_opened_at, last_opened_at }) {
      const when = (/** @type {string | null} */ time) => (time ? timeAgo(format, time) : texts.history.notYet);
      return h(
        "dl",
        { class: "figures" },
        [
          [texts.history.opens, format.number(opens)],
          [texts.history.first, when(first_opened_at)],
          [texts.history.last, when(last_opened_at)],
        ].map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
      );
    },

    /** @param {Message} message @param {Open[]} counted @param {boolean} isAll */
    line(message, counted, isAll) {
      const from = (words.isSent(message) && message.sent_at) || message.created_at;
      const now = new Date(format.now()).toISOString();
      return h(
        "section",
        {},
        h("h3", {}, texts.history.timeline, " ", latest(counted, isAll)),
        timeline({
          times: counted.map(({ at }) => Date.parse(at)),
          from: Date.parse(from),
          to: Date.parse(now),
          label: texts.history.timelineLabel(format.dateTime(from), format.dateTime(now), counted.length),
          fromText: `${texts.history.sent} ${format.dateTime(from)}`,
          toText: texts.history.now,
          tip: (time, count) => `${texts.messages.opens(count, format.number(count))}, ${format.dateTime(new Date(time).toISOString())}`,
        }),
      );
    },

    /** @param {Open[]} counted @param {boolean} isAll */
    places(counted, isAll) {
      /** @type {Map<string, { name: string, count: number, quiet: boolean }>} */
      const found = new Map();
      for (const { place } of counted) {
        const name = words.country(place) ?? texts.history.placeUnknown;
        const row = found.get(name) ?? { name, count: 0, quiet: !place.country_code };
        row.count += 1;
        found.set(name, row);
      }
      const all = [...found.values()].sort((one, other) => other.count - one.count);
      const rows = all.slice(0, MOST_PLACES);
      const others = all.slice(MOST_PLACES).reduce((sum, { count }) => sum + count, 0);
      if (others) rows.push({ name: texts.history.placeOthers, count: others, quiet: true });
      return h("section", {}, h("h3", {}, texts.history.places, " ", latest(counted, isAll)), bars(rows, format.number));
    },
  };
}
