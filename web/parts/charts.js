/** Small pictures of opens: a spark for a list, a time line, and bars of places. */

import { h, svg } from "../dom.js";

const SPARK_BINS = 24;
const TIMELINE_BINS = 60;

/** How many of `times` fall in each of `bins` equal parts from `from` to `to`. @param {number[]} times @param {number} from @param {number} to @param {number} bins */
export function histogram(times, from, to, bins) {
  const counts = new Array(bins).fill(0);
  const width = Math.max(1, to - from) / bins;
  for (const time of times) counts[Math.min(bins - 1, Math.max(0, Math.floor((time - from) / width)))] += 1;
  return counts;
}

/**
 * Opens over a message's life, without axes.
 * @param {number[]} times milliseconds
 * @param {number} from
 * @param {number} to
 * @param {string} label
 */
export function spark(times, from, to, label) {
  const counts = histogram(times, from, to, SPARK_BINS);
  const most = Math.max(1, ...counts);
  return svg(
    "svg",
    { class: "spark", viewBox: `0 0 ${SPARK_BINS * 4} 24`, role: "img", "aria-label": label, preserveAspectRatio: "none" },
    counts.map((count, index) => {
      const height = count ? 4 + (count / most) * 20 : 1.5;
      return svg("rect", { x: index * 4, y: 24 - height, width: 3, height, rx: 1, class: count ? "spark-bar" : "spark-rest" });
    }),
  );
}

/**
 * Opens on a line from when the message was sent until now. Opens near each other share a larger dot.
 * @param {{ times: number[], from: number, to: number, label: string, fromText: string, toText: string, tip: (time: number, count: number) => string }} options
 */
export function timeline({ times, from, to, label, fromText, toText, tip }) {
  const dots = histogram(times, from, to, TIMELINE_BINS).flatMap((count, index) => {
    const at = (index + 0.5) / TIMELINE_BINS;
    const size = Math.min(30, 10 + Math.sqrt(count) * 3);
    return count
      ? [h("span", { class: "timeline-dot", title: tip(from + at * (to - from), count), "css:at": String(at), "css:size": String(size) })]
      : [];
  });
  return h(
    "div",
    { class: "timeline" },
    h("div", { class: "timeline-line", role: "img", "aria-label": label }, dots),
    h("div", { class: "timeline-ends", "aria-hidden": "true" }, h("span", {}, fromText), h("span", {}, toText)),
  );
}

/**
 * Bars, the longest first.
 * @param {{ name: string, count: number, quiet?: boolean }[]} rows
 * @param {(count: number) => string} number
 */
export function bars(rows, number) {
  const most = Math.max(1, ...rows.map(({ count }) => count));
  return h(
    "ul",
    { class: "bars" },
    rows.map(({ name, count, quiet }) =>
      h(
        "li",
        { class: quiet ? "bar is-quiet" : "bar" },
        h("span", { class: "bar-name" }, name),
        h("span", { class: "bar-count" }, number(count)),
        h("span", { class: "bar-track", "aria-hidden": "true", "css:part": String(count / most) }),
      ),
    ),
  );
}
