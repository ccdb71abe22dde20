/** The messages: search, filters and an endless list whose counts are live. */

import { fill, h } from "../dom.js";
import { icon } from "../icons.js";
import { createReadings, oneAtATime } from "../live/readings.js";
import { createFoot } from "../parts/foot.js";
import { createMessageRows } from "../parts/message-row.js";
import { createSparks } from "../parts/sparks.js";
import { emptyState, errorState, skeleton } from "../parts/state.js";
import { createVirtualList } from "../parts/virtual-list.js";

const PAGE = 50;
/** The longest page that the hub gives. */
const MOST_AT_ONCE = 1_000;
const TYPING_MS = 200;
/** How long after a change a filtered list is read anew, times the pages that takes. Further changes do not put it off. */
const FOLLOW_MS = 500;

/** @typedef {import("../api.js").Message} Message */

/** @param {import("../desk.js").Desk} desk */
export function createMessages(desk) {
  const { texts, format, words, api, live, book, toasts, router } = desk;
  const sparks = createSparks({ api, onReady: (id) => refresh(id) });
  const messageRow = createMessageRows({ texts, format, words, sparks });

  /** @type {Message[]} */
  let items = [];
  /** @type {Map<string, Message>} */
  let byId = new Map();
  const filters = { q: "", opened: "", template: "" };
  /** Whether they were changed while the address was another view's, so that it does not name them yet. */
  let isUnsaid = false;
  /** @type {string | null} */
  let next = null;
  const readings = createReadings();
  /** @type {AbortController} of the reading that counts; a new search ends it */
  let reading = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let typing;

  const search = h("input", { type: "search", id: "search", placeholder: texts.messages.searchHint, "aria-label": texts.messages.search, maxlength: "200", autocomplete: "off", oninput: typed });
  const templates = h("datalist", { id: "templates" });
  const template = h("input", { id: "template", list: "templates", placeholder: texts.messages.anyTemplate, "aria-label": texts.messages.template, maxlength: "200", autocomplete: "off", oninput: typed });
  const choices = h(
    "fieldset",
    { class: "segments" },
    h("legend", { class: "sr-only" }, texts.messages.filter),
    [
      ["", texts.messages.all],
      ["true", texts.messages.opened],
      ["false", texts.messages.unopened],
    ].map(([value, label]) =>
      h("label", {}, h("input", { type: "radio", name: "opened", value, "prop:checked": value === "", onchange: () => filter({ opened: value }) }), h("span", {}, label)),
    ),
  );
  const list = createVirtualList({
    label: texts.messages.list,
    key: (/** @type {Message} */ message) => message.id,
    render: messageRow,
    onNearEnd: () => void (foot.failed || more()),
    signal: desk.ended,
  });
  const foot = createFoot({ texts, live, more });
  const body = h("div", { class: "messages-body" });
  const said = h("p", { class: "sr-only", role: "status" });
  const element = h(
    "section",
    { class: "view", "aria-labelledby": "view-title" },
    h(
      "header",
      { class: "view-head" },
      h("div", {}, h("h1", { id: "view-title" }, texts.messages.title), h("p", { class: "lead" }, texts.messages.lead)),
      h("a", { class: "button", href: "/try", "data-view": true }, icon("add"), texts.nav.add),
    ),
    h("div", { class: "toolbar", role: "search" }, h("div", { class: "search" }, icon("search"), search), choices, template, templates),
    said,
    body,
  );

  function typed() {
    clearTimeout(typing);
    typing = setTimeout(() => filter({ q: search.value.trim(), template: template.value.trim() }), TYPING_MS);
  }

  /** @param {Partial<typeof filters>} change */
  async function filter(change) {
    Object.assign(filters, change);
    isUnsaid = router.current().name !== "messages";
    if (!isUnsaid) sayFilters();
    said.textContent = "";
    await load();
    // Another search has overtaken this one, or the failure has been read aloud.
    if (readings.going || readings.failed) return;
    said.textContent = items.length ? texts.messages.found(items.length, format.number(items.length), !next) : texts.messages.none;
  }

  /** Make the address name the filters. */
  function sayFilters() {
    const query = new URLSearchParams(Object.entries(filters).filter(([, value]) => value));
    history.replaceState(history.state, "", query.size ? `/messages?${query}` : "/messages");
    isUnsaid = false;
  }

  const isFiltered = () => Object.values(filters).some(Boolean);

  async function load() {
    reading.abort();
    const { signal } = (reading = new AbortController());
    const since = book.heard;
    if (!items.length) fill(body, skeleton(texts.loading));
    await readings.begin(async (counts) => {
      const page = await api.messages({ limit: PAGE, ...filters }, signal);
      if (!counts()) return;
      list.clear();
      items = [];
      byId = new Map();
      append(page, since);
    }, (error) => {
      items = [];
      byId = new Map();
      next = null;
      fill(body, errorState(texts, error, load, live));
    });
    if (!signal.aborted) list.draw();
  }

  /** @param {import("../api.js").Page<Message>} page @param {number} since `book.heard` when it was asked for */
  function append(page, since) {
    next = page.next;
    foot.say();
    for (const message of page.items) {
      if (byId.has(message.id)) continue;
      byId.set(message.id, message);
      items.push(message);
      book.noteWhole(message, since);
      offerTemplate(message.template);
    }
    show();
  }

  async function more() {
    if (readings.going || !next) return;
    const cursor = next;
    const { signal } = reading;
    const since = book.heard;
    await readings.extend(async (counts) => {
      const page = await api.messages({ limit: PAGE * 2, cursor, ...filters }, signal);
      if (counts()) append(page, since);
    }, foot.fail);
    // Scrolling to the end asked for nothing while a reading was on its way.
    list.draw();
  }

  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let following;
  /** Only the hub can tell which messages a filter lets through now. */
  function follow() {
    if (isFiltered()) following ??= setTimeout(readAgain, FOLLOW_MS * Math.max(1, Math.ceil(items.length / MOST_AT_ONCE)));
  }

  /** Read as many messages as are shown, and show these instead. The user's place in the list stays. */
  async function readAgain() {
    following = undefined;
    if (readings.going) return follow();
    // Only a reading of the whole list makes up for one that failed.
    if (readings.failed) return;
    const { signal } = reading;
    const since = book.heard;
    await readings.extend(async (counts) => {
      /** @type {Message[]} */
      const found = [];
      const wanted = Math.max(PAGE, items.length);
      let cursor = null;
      do {
        const limit = Math.min(MOST_AT_ONCE, wanted - found.length);
        const page = await api.messages({ limit, cursor, ...filters }, signal);
        found.push(...page.items);
        cursor = page.next;
      } while (counts() && cursor && found.length < wanted);
      if (!counts()) return;
      const focused = focusedId();
      const at = indexOf(focused);
      if (at >= 0 && !found.some(({ id }) => id === focused)) /** @type {HTMLElement} */ (document.activeElement).blur();
      const first = rows().find((row) => row.getBoundingClientRect().top >= 0)?.dataset.message;
      const before = topOf(first);
      items = [];
      byId = new Map();
      append({ items: found, next: cursor }, since);
      found.forEach(list.refresh);
      if (list.element.getBoundingClientRect().top < 0 && topOf(first) > -Infinity) scrollBy(0, topOf(first) - before);
      if (at >= 0 && indexOf(focused) < 0) /** @type {HTMLElement | null} */ (list.element.querySelector(`[data-index="${Math.min(at, items.length - 1)}"] a`))?.focus();
    }, () => undefined);
    list.draw();
  }

  /** The message of the row that has the focus. */
  const focusedId = () => /** @type {HTMLElement | undefined} */ (document.activeElement?.closest("[data-message]"))?.dataset.message;

  /** @param {string | undefined} id */
  const indexOf = (id) => items.findIndex((message) => message.id === id);

  /** The rows that are in the document, in their order. */
  const rows = () => /** @type {HTMLElement[]} */ ([...list.element.querySelectorAll("[data-message]")]);

  /** How far down the screen a message is, if it is in the document. @param {string | undefined} id */
  const topOf = (id) => rows().find(({ dataset }) => dataset.message === id)?.getBoundingClientRect().top ?? -Infinity;

  /** @param {string | null} name */
  function offerTemplate(name) {
    if (name && ![...templates.options].some(({ value }) => value === name)) templates.append(h("option", { value: name }));
  }

  function show() {
    if (items.length) {
      if (list.element.parentElement !== body) fill(body, list.element, foot.element);
      list.set(items);
    } else if (isFiltered()) {
      const action = h("button", { class: "button", type: "button", onclick: clear }, texts.messages.clear);
      fill(body, emptyState({ symbol: "search", title: texts.messages.noneTitle, text: texts.messages.none, action }));
    } else {
      const action = h("a", { class: "button is-primary", href: "/try", "data-view": true }, texts.activity.emptyAction);
      fill(body, emptyState({ symbol: "mail", title: texts.messages.emptyTitle, text: texts.messages.empty, action }));
    }
  }

  function clear() {
    fillIn(new URLSearchParams());
    search.focus();
    return filter({});
  }

  /** Show the filters that an address names, unless they are shown already. @param {URLSearchParams} query */
  function fillIn(query) {
    const named = { q: query.get("q") ?? "", opened: query.get("opened") ?? "", template: query.get("template") ?? "" };
    if (JSON.stringify(named) === JSON.stringify(filters)) return;
    Object.assign(filters, named);
    search.value = named.q;
    template.value = named.template;
    for (const input of choices.querySelectorAll("input")) input.checked = input.value === filters.opened;
  }

  /** @param {string} id */
  function refresh(id) {
    const message = byId.get(id);
    if (message) list.refresh(message);
  }

  /** @param {string} id @param {Partial<Message>} change */
  function update(id, change) {
    const message = byId.get(id);
    if (message) Object.assign(message, change);
    refresh(id);
  }

  /** @type {Set<string>} the ids of messages whose first and last open must be read from the hub */
  const corrected = new Set();
  const readCorrected = oneAtATime(async () => {
    for (const id of corrected) {
      corrected.delete(id);
      const since = book.heard;
      const whole = await api.message(id).catch(toasts.fail);
      if (!whole) continue;
      // Even the newest answer may be from before a mute-all.
      if (book.noteWhole(whole, since)) update(id, { ...whole, muted: Boolean(book.peek(id)?.muted) });
      else corrected.add(id);
    }
  });

  /** When a message was first and last opened, with one more open, which may be told late. @param {Message} message @param {string} at */
  const widened = ({ first_opened_at: first, last_opened_at: last }, at) => ({
    first_opened_at: first && first < at ? first : at,
    last_opened_at: last && last > at ? last : at,
  });

  live.on("opened", readings.after(({ open, message }) => {
    if (open.counted) follow();
    const there = byId.get(message.id);
    if (!there) return;
    update(message.id, { opens: message.opens, muted: message.muted, ...(open.counted && widened(there, open.at)) });
  }));
  live.on("corrected", readings.after(({ message }) => {
    follow();
    update(message.id, { opens: message.opens, muted: message.muted });
    corrected.add(message.id);
    void readCorrected();
  }));
  live.on("message", readings.after(({ message, isNew }) => {
    follow();
    if (byId.has(message.id)) return update(message.id, message);
    if (!isNew || isFiltered()) return;
    // A message from while the page was away may belong further down, or to a page that is not read yet.
    const at = items.findIndex(({ id }) => id < message.id);
    if (at < 0 && next) return;
    byId.set(message.id, message);
    items.splice(at < 0 ? items.length : at, 0, message);
    const before = list.element.getBoundingClientRect();
    show();
    // A user who reads further down goes on seeing the same rows.
    if (before.top < 0 && list.element.isConnected) scrollBy(0, list.element.getBoundingClientRect().height - before.height);
  }));
  live.on("muted-all", readings.after(() => {
    for (const message of items) {
      message.muted = true;
      list.refresh(message);
    }
  }));
  live.on("reset", () => void load());
  // An answer may say so, too, while there are no events.
  book.watch(({ id, muted }) => {
    if (byId.has(id) && byId.get(id)?.muted !== muted) update(id, { muted });
  });
  list.element.addEventListener("due", ({ target }) => {
    refresh(String(/** @type {HTMLElement | null} */ (/** @type {Element} */ (target).closest("[data-message]"))?.dataset.message));
  });
  desk.ended.addEventListener("abort", () => {
    clearTimeout(following);
    clearTimeout(typing);
  });

  let begun = false;
  return {
    element,
    title: texts.messages.title,
    move: list.move,
    search: () => search.focus(),
    /** The message of the row that has the focus, if there is anything to mute: a mail that is not tracked has no speaker. */
    focused() {
      const id = focusedId() ?? "";
      return byId.get(id)?.tracked ? id : undefined;
    },
    redraw: () => items.forEach(list.refresh),
    /** @param {import("../router.js").Route} route */
    enter(route) {
      const before = JSON.stringify(filters);
      if (route.name === "messages" && isUnsaid) sayFilters();
      else if (route.name === "messages") fillIn(route.query);
      if (!begun || readings.failed || before !== JSON.stringify(filters)) void load();
      else list.draw();
      if (foot.failed) void more();
      begun = true;
      sparks.resume();
    },
  };
}
