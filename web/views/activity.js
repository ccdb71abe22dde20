/**
 * The live feed, newest first. New opens slide in at the top. A user who is reading further down, or has
 * the focus in a row, is not disturbed: a button says how many opens are new.
 */

import { fill, h } from "../dom.js";
import { oncePerFrame } from "../live/frames.js";
import { createReadings } from "../live/readings.js";
import { createAloud } from "../parts/aloud.js";
import { createFoot } from "../parts/foot.js";
import { createOpenRows } from "../parts/open-row.js";
import { emptyState, errorState, skeleton } from "../parts/state.js";
import { createSwitch } from "../parts/switch.js";
import { dayName, refreshTimes } from "../parts/time.js";
import { createAsk } from "./ask.js";

const PAGE = 40;
/** A feed that has grown longer, as when left open all day, is read from its start. */
const MOST_ROWS = 1_000;
/** If more than this have come at once, it is read from its start: nobody looks at so many. */
const MOST_AT_ONCE = 100;
/** More than this do not slide in. */
const MOST_SLIDES = 10;
const AT_TOP_PX = 120;

/** @typedef {import("../client.js").Open} Open */
/** @typedef {{ open: Open, taken: boolean, row: import("../parts/open-row.js").OpenRow }} Entry */

/** @param {import("../desk.js").Desk} desk */
export function createActivity(desk) {
  const { texts, format, words, api, live, book, unseen } = desk;
  const openRow = createOpenRows({ texts, format, words, withMessage: true });

  /** @type {Map<string, Entry>} */
  const entries = new Map();
  /** @type {Map<string, Set<Entry>>} the entries by their message's id */
  const byMessage = new Map();
  /** @type {Open[]} opens that wait for the next frame, or for the reader to come back to the top */
  let held = [];
  /** @type {Set<string>} the ids of opens that happened when this page was last away */
  const missed = new Set();
  /** Whether the page has been live again since then. */
  let wasBack = false;
  /** @type {Set<string>} the ids of messages that have changed since they were drawn */
  const stale = new Set();
  /** @type {string | null} */
  let next = null;
  /** The id, which tells its time, of the oldest open that was read. */
  let oldest = "";
  let machines = false;
  /** Whether the feed has been read. */
  let ready = false;
  /** Whether somebody has been there since all of the feed was seen, or since its reading began. */
  let watched = false;
  const readings = createReadings();

  const feed = h("div", { class: "feed", role: "region", "aria-label": texts.activity.feed, tabindex: "-1" });
  const foot = createFoot({ texts, live, more: readOn });
  const aloud = createAloud({ texts, words });
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
    aloud.element,
    feed,
    foot.element,
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
    ready = watched = false;
    showFresh();
    if (!entries.size) fill(feed, skeleton(texts.loading));
    await readings.begin(async (counts) => {
      const page = await fetchPage(null);
      if (!counts()) return;
      const focused = focusedRow()?.dataset.open;
      forget();
      feed.replaceChildren();
      append(page);
      ready = true;
      if (focused) (entries.get(focused)?.row.element ?? document.getElementById("content"))?.focus({ preventScroll: true });
    }, (error) => {
      forget();
      next = null;
      foot.say();
      fill(feed, errorState(texts, error, load, live));
    });
    markSeen();
    lookForEnd();
  }

  function forget() {
    entries.clear();
    byMessage.clear();
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
    oldest = page.items.at(-1)?.id ?? "";
    for (const open of page.items) if (!entries.has(open.id)) add(open);
    markMissed();
    foot.say();
    showFoot();
  }

  /** Read the next page. Returns whether there was one. */
  async function more() {
    if (readings.going || !next) return false;
    const cursor = next;
    let came = false;
    await readings.extend(async (counts) => {
      const page = await fetchPage(cursor);
      if (!counts()) return;
      append(page);
      came = true;
    }, foot.fail);
    return came;
  }

  /** Read as many pages as are wanted, one after the other. It stops if none came: during another reading it would spin for ever. */
  async function readOn() {
    if (await more()) lookForEnd();
  }

  function showFoot() {
    if (foot.failed) return;
    if (entries.size) return foot.say(next ? texts.activity.more : texts.activity.end);
    const action = h("a", { class: "button is-primary", href: "/try", "data-view": true }, texts.activity.emptyAction);
    fill(feed, emptyState({ symbol: "eye", title: texts.activity.emptyTitle, text: texts.activity.empty, action }));
  }

  /** The list of an open's day, which is made if it is missing. @param {string} time */
  function dayList(time) {
    const day = format.dayKey(time);
    const heads = /** @type {HTMLElement[]} */ ([...feed.querySelectorAll(".day")]);
    const there = heads.find((head) => head.dataset.day === day);
    if (there) return /** @type {HTMLOListElement} */ (there.querySelector("ol"));
    const list = h("ol", { class: "opens card", role: "list" });
    const section = h("section", { class: "day", "data-day": day, "data-from": time }, h("h2", { class: "day-name" }, dayName(format, time)), list);
    const older = heads.find((head) => String(head.dataset.from) < time);
    feed.insertBefore(section, older ?? null);
    // A day has begun: the last one is "Yesterday" now.
    if (older && older === heads[0]) refreshTimes(format);
    return list;
  }

  /** Whether an open belongs in the feed. One that is older than what was read comes with its page. @param {Open} open */
  const isWanted = ({ id, counted }) => (counted || machines) && !entries.has(id) && !(next && id < oldest);

  /** Put an open where its time belongs. @param {Open} open @param {{ isNew?: boolean, slide?: boolean }} [how] */
  function add(open, { isNew = false, slide = false } = {}) {
    feed.querySelector(".empty, .skeleton")?.remove();
    const row = openRow(open, book.peek(open.message_id));
    row.element.dataset.at = open.at;
    row.element.classList.toggle("is-new", slide);
    row.element.classList.toggle("is-missed", missed.has(open.id));
    const entry = { open, taken: false, row };
    entries.set(open.id, entry);
    const siblings = byMessage.get(open.message_id) ?? new Set();
    byMessage.set(open.message_id, siblings.add(entry));
    const list = dayList(open.at);
    let older = isNew ? /** @type {HTMLElement | null} */ (list.firstElementChild) : null;
    while (older && String(older.dataset.at) > open.at) older = /** @type {HTMLElement | null} */ (older.nextElementSibling);
    list.insertBefore(row.element, older);
  }

  /** How far the feed is scrolled, or was when another view took its place. */
  let scrolled = 0;
  const reads = () => scrolled > AT_TOP_PX || feed.contains(document.activeElement);

  function showFresh() {
    fresh.hidden = !held.length;
    fresh.textContent = texts.activity.fresh(held.length);
  }

  function release() {
    if (!held.length) return;
    if (held.length > MOST_AT_ONCE) return void load();
    const arrived = held;
    held = [];
    const slide = arrived.length <= MOST_SLIDES;
    for (const open of arrived) if (!entries.has(open.id)) add(open, { isNew: true, slide });
    markMissed();
    showFoot();
    showFresh();
    markSeen();
    if (entries.size > MOST_ROWS) void load();
  }

  /** @param {string} id */
  function miss(id) {
    if (wasBack) {
      missed.clear();
      for (const row of feed.querySelectorAll(".is-missed")) row.classList.remove("is-missed");
    }
    wasBack = false;
    missed.add(id);
  }

  /** Draw the line below the opens that happened while the page was away. */
  function markMissed() {
    feed.querySelector(".missed-line")?.remove();
    if (!missed.size) return;
    const last = [...feed.querySelectorAll(".open.is-missed")].at(-1);
    last?.after(h("li", { class: "missed-line", role: "listitem" }, h("span", {}, texts.activity.missed)));
  }

  function toTop() {
    /** @type {HTMLElement} */ (document.activeElement)?.blur();
    scrollTo({ top: 0 });
    release();
  }

  /** Show what has come. All that was missed is shown together, once it is complete. */
  const show = oncePerFrame(() => {
    if (live.state === "catching-up") return;
    if (element.isConnected) scrolled = scrollY;
    for (const id of stale) for (const { open, row, taken } of byMessage.get(id) ?? []) row.update(open, book.peek(id), taken);
    stale.clear();
    aloud.say();
    if (reads()) showFresh();
    else release();
  });

  live.on("opened", readings.after(({ open, message, missed: isMissed, notify }) => {
    if (notify && !isMissed) aloud.opened(open, message);
    const wanted = isWanted(open);
    if (wanted) held.push(open);
    if (wanted && isMissed) miss(open.id);
    show();
  }));
  live.on("corrected", readings.after(({ open, message }) => {
    held = held.filter(({ id }) => id !== open.id);
    aloud.corrected(open, message);
    show();
    const entry = entries.get(open.id);
    if (entry) {
      entry.taken = entry.open.counted && !open.counted;
      entry.open = open;
      entry.row.update(open, message, entry.taken);
    } else if (isWanted(open)) {
      held.push(open);
    }
  }));
  live.on("state", show);
  live.on("state", readings.after(({ state }) => (wasBack ||= state === "live")));
  live.on("reset", () => void load());
  book.watch(({ id }) => {
    if (!byMessage.has(id)) return;
    stale.add(id);
    show();
  });

  function lookForEnd() {
    if (!element.isConnected) return;
    scrolled = scrollY;
    if (!reads()) release();
    if (!foot.failed && foot.element.getBoundingClientRect().top < innerHeight * 2) void readOn();
  }

  const focusedRow = () => /** @type {HTMLElement | null | undefined} */ (document.activeElement?.closest(".feed .open"));

  /** @param {number} step */
  function move(step) {
    const rows = /** @type {HTMLElement[]} */ ([...feed.querySelectorAll(".open")]);
    const at = rows.indexOf(/** @type {HTMLElement} */ (focusedRow()));
    const row = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + step))];
    row?.focus({ preventScroll: true });
    row?.scrollIntoView({ block: "nearest" });
  }

  /** Whoever was there while the feed was read, or an open waited to be drawn, has seen it once it is on the screen. */
  function markSeen() {
    if (!watched || !ready || held.length || !element.isConnected || document.hidden) return;
    watched = false;
    unseen.markAll();
  }

  desk.attention.onAlive(() => {
    watched = element.isConnected;
    markSeen();
  });
  addEventListener("scroll", lookForEnd, { passive: true, signal: desk.ended });
  feed.addEventListener("focusout", () => setTimeout(() => !reads() && element.isConnected && release()));
  void load();

  return {
    element,
    title: texts.activity.title,
    move,
    toggleMachines: () => void setMachines(!machines),
    // The days are other ones, too.
    redraw: () => void load(),
    /** The message of the row that has the focus. */
    focused: () => focusedRow()?.dataset.message,
    enter: () => {
      if (readings.failed) void load();
      else if (!reads()) release();
      if (foot.failed) void readOn();
    },
  };
}
