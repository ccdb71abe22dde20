/**
 * The live feed, newest first. What is new slides in at the top; somebody who is reading further down,
 * or has the focus in a row, is not disturbed: there a button says how much is new.
 */

import { fill, h } from "../dom.js";
import { createReadings } from "../live/readings.js";
import { createOpenRows } from "../parts/open-row.js";
import { emptyState, errorState, skeleton } from "../parts/state.js";
import { createSwitch } from "../parts/switch.js";
import { dayName } from "../parts/time.js";
import { createAsk } from "./ask.js";

const PAGE = 40;
/** A feed that was left open all day begins afresh rather than grow for ever. */
const MOST_ROWS = 1_000;
const AT_TOP_PX = 120;

/** @typedef {import("../client.js").Open} Open */
/** @typedef {{ open: Open, taken: boolean, missed: boolean, row: import("../parts/open-row.js").OpenRow }} Entry */

/** @param {import("../desk.js").Desk} desk */
export function createActivity(desk) {
  const { texts, format, words, api, live, book, toasts, unseen } = desk;
  const openRow = createOpenRows({ texts, format, words, withMessage: true });

  /** @type {Map<string, Entry>} */
  const entries = new Map();
  /** @type {{ open: Open, missed: boolean }[]} opens that wait for the reader to come back to the top */
  let held = [];
  /** @type {string | null} */
  let next = null;
  let machines = false;
  const readings = createReadings();

  const feed = h("div", { class: "feed", role: "region", "aria-label": texts.activity.feed, tabindex: "-1" });
  const foot = h("div", { class: "feed-foot" });
  const said = h("p", { class: "sr-only", role: "status" });
  const fresh = h("button", { class: "fresh", type: "button", hidden: true, onclick: toTop });
  const toggle = createSwitch({
    id: "machines",
    label: texts.activity.machines,
    checked: machines,
    onChange: setMachines,
  });
  const machinesHint = h("p", { class: "note", hidden: true }, texts.activity.machinesHint);
  const element = h(
    "section",
    { class: "view", "aria-labelledby": "view-title" },
    h("header", { class: "view-head" }, h("div", {}, h("h1", { id: "view-title" }, texts.activity.title), h("p", { class: "lead" }, texts.activity.lead)), toggle.element),
    createAsk(desk),
    machinesHint,
    h("div", { class: "fresh-place" }, fresh),
    said,
    feed,
    foot,
  );

  /** @param {boolean} value */
  function setMachines(value) {
    machines = value;
    toggle.set(value);
    machinesHint.hidden = !value;
    return load();
  }

  /** Read the feed from its start. */
  async function load() {
    held = [];
    showFresh();
    if (!entries.size) fill(feed, skeleton(texts.loading));
    await readings.begin(async (counts) => {
      const page = await fetchPage(null);
      if (!counts()) return;
      entries.clear();
      feed.replaceChildren();
      append(page);
    }, (error) => {
      entries.clear();
      next = null;
      fill(foot);
      fill(feed, errorState(texts, error, load, live));
    });
    lookForEnd();
  }

  /** @param {string | null} cursor */
  async function fetchPage(cursor) {
    const page = await api.opens({ limit: PAGE, cursor, all: machines });
    await Promise.all([...new Set(page.items.map((open) => open.message_id))].map(book.brief));
    return page;
  }

  /** @param {import("../api.js").Page<Open>} page */
  function append(page) {
    next = page.next;
    for (const open of page.items) if (!entries.has(open.id)) add(open);
    showFoot();
  }

  /** Reads the next page; whether one came. */
  async function more() {
    if (readings.going || !next) return false;
    const cursor = next;
    let came = false;
    await readings.extend(async (counts) => {
      const page = await fetchPage(cursor);
      if (!counts()) return;
      append(page);
      came = true;
    }, toasts.fail);
    return came;
  }

  function showFoot() {
    if (entries.size) return fill(foot, h("p", { class: "hint" }, next ? texts.activity.more : texts.activity.end));
    foot.replaceChildren();
    const action = h("a", { class: "button is-primary", href: "/try", "data-view": true }, texts.activity.emptyAction);
    fill(feed, emptyState({ symbol: "eye", title: texts.activity.emptyTitle, text: texts.activity.empty, action }));
  }

  /** The list of an open's day, made where it is missing. @param {string} time */
  function dayList(time) {
    const day = format.dayKey(time);
    const heads = /** @type {HTMLElement[]} */ ([...feed.querySelectorAll(".day")]);
    const there = heads.find((head) => head.dataset.day === day);
    if (there) return /** @type {HTMLOListElement} */ (there.querySelector("ol"));
    const list = h("ol", { class: "opens card", role: "list" });
    const section = h("section", { class: "day", "data-day": day, "data-from": time }, h("h2", { class: "day-name" }, dayName(format, time)), list);
    const older = heads.find((head) => String(head.dataset.from) < time);
    feed.insertBefore(section, older ?? null);
    return list;
  }

  /** Put an open where its time belongs. @param {Open} open @param {{ slide?: boolean, missed?: boolean }} [how] */
  function add(open, { slide = false, missed = false } = {}) {
    feed.querySelector(".empty, .skeleton")?.remove();
    const row = openRow(open, book.peek(open.message_id));
    row.element.dataset.at = open.at;
    row.element.classList.toggle("is-new", slide);
    row.element.classList.toggle("is-missed", missed);
    entries.set(open.id, { open, taken: false, missed, row });
    const list = dayList(open.at);
    const rows = /** @type {HTMLElement[]} */ ([...list.children]);
    const later = slide ? rows.find(({ dataset }) => String(dataset.at) <= open.at) : undefined;
    list.insertBefore(row.element, later ?? null);
  }

  const reads = () => scrollY > AT_TOP_PX || feed.contains(document.activeElement);

  function showFresh() {
    fresh.hidden = !held.length;
    fresh.textContent = texts.activity.fresh(held.length);
  }

  function release() {
    if (!held.length) return;
    const arrived = held;
    held = [];
    for (const { open, missed } of arrived) if (!entries.has(open.id)) add(open, { slide: true, missed });
    markMissed();
    showFoot();
    showFresh();
    if (entries.size > MOST_ROWS) void load();
  }

  /** The line that says which of the newest opens happened while nobody was connected. */
  function markMissed() {
    feed.querySelector(".missed-line")?.remove();
    const last = [...feed.querySelectorAll(".open.is-missed")].at(-1);
    last?.after(h("li", { class: "missed-line", role: "listitem" }, h("span", {}, texts.activity.missed)));
  }

  function toTop() {
    /** @type {HTMLElement} */ (document.activeElement)?.blur();
    scrollTo({ top: 0 });
    release();
  }

  live.on("opened", readings.after(({ open, message, missed, notify }) => {
    if (entries.has(open.id) || (!open.counted && !machines)) return;
    held.push({ open, missed });
    if (!document.hidden && notify && !missed) said.textContent = texts.activity.announce(words.who(open, message), words.subject(message));
    if (reads()) showFresh();
    else release();
  }));
  live.on("corrected", readings.after(({ open, message }) => {
    held = held.filter((item) => item.open.id !== open.id);
    showFresh();
    const entry = entries.get(open.id);
    if (entry) {
      entry.taken = entry.open.counted && !open.counted;
      entry.open = open;
      entry.row.update(open, message, entry.taken);
    } else if (open.counted || machines) {
      add(open, { slide: true });
    }
  }));
  live.on("reset", () => void load());
  book.watch((brief) => {
    for (const { open, row, taken } of entries.values()) if (open.message_id === brief.id) row.update(open, brief, taken);
  });

  function lookForEnd() {
    if (!element.isConnected) return;
    if (scrollY < AT_TOP_PX && held.length && !reads()) release();
    // Looked for again only after a page that came: while one is on its way, asking anew would spin for ever.
    if (foot.getBoundingClientRect().top < innerHeight * 2) void more().then((came) => came && lookForEnd());
  }

  /** @param {number} step */
  function move(step) {
    const rows = /** @type {HTMLElement[]} */ ([...feed.querySelectorAll(".open")]);
    const at = rows.indexOf(/** @type {HTMLElement} */ (document.activeElement?.closest(".open")));
    const row = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + step))];
    row?.focus({ preventScroll: true });
    row?.scrollIntoView({ block: "nearest" });
  }

  desk.attention.onAlive(() => {
    if (element.isConnected && !held.length && !document.hidden) unseen.markAll();
  });
  addEventListener("scroll", lookForEnd, { passive: true, signal: desk.ended });
  feed.addEventListener("focusout", () => setTimeout(() => !reads() && element.isConnected && release()));
  void load();

  return {
    element,
    title: texts.activity.title,
    move,
    toggleMachines: () => void setMachines(!machines),
    /** The message of the row that has the focus. */
    focused: () => /** @type {HTMLElement | undefined} */ (document.activeElement?.closest(".open"))?.dataset.message,
    enter: () => {
      if (!reads()) release();
    },
  };
}
