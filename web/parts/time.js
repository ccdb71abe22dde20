/** Times that are kept current: relative where that reads better, exact on hover. */

import { h } from "../dom.js";

const EVERY_MS = 20_000;

/** @param {import("../format.js").Format} format @param {string} time RFC 3339 */
export function timeAgo(format, time) {
  return h("time", { datetime: time, title: format.exact(time), "data-ago": true }, format.ago(time));
}

/**
 * A text with a time element in it, wherever the language puts the time.
 * @param {(when: string) => string} say
 * @param {HTMLTimeElement} when
 */
export function timeIn(say, when) {
  const [before, after] = say("\n").split("\n");
  return [before, when, after];
}

/** The heading of a day: "Today" becomes "Yesterday" at midnight. @param {import("../format.js").Format} format @param {string} time RFC 3339 */
export function dayName(format, time) {
  return h("time", { datetime: time, "data-ago": "day" }, format.day(time));
}

/**
 * Bring every relative time on the page up to date. What has to be drawn anew at a time names it in `data-due`, and is
 * told `due` then.
 * @param {import("../format.js").Format} format
 * @param {boolean} [hasMoved] whether exact times are other ones, too
 */
export function refreshTimes(format, hasMoved) {
  for (const element of /** @type {NodeListOf<HTMLTimeElement>} */ (document.querySelectorAll("time[data-ago]"))) {
    const { dateTime, dataset } = element;
    const text = dataset.ago === "day" ? format.day(dateTime) : format.ago(dateTime);
    if (element.textContent !== text) element.textContent = text;
    if (hasMoved && element.title) element.title = format.exact(dateTime);
  }
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-due]"))) {
    if (!format.isAhead(String(element.dataset.due))) element.dispatchEvent(new Event("due", { bubbles: true }));
  }
}

/**
 * Keep the times on the page current.
 * @param {import("../format.js").Format} format
 * @param {() => void} onMoved called when the computer has come to another time zone
 * @returns {() => void} stops it
 */
export function keepTimesFresh(format, onMoved) {
  const timer = setInterval(() => {
    const hasMoved = format.move();
    refreshTimes(format, hasMoved);
    if (hasMoved) onMoved();
  }, EVERY_MS);
  return () => clearInterval(timer);
}
