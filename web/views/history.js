/**
 * Open History: everything about one message, in a dialog with its own address and the speaker in its
 * lower right corner.
 */

import { fill, h, onBeside, watchPress } from "../dom.js";
import { icon } from "../icons.js";
import { createReadings, oneAtATime } from "../live/readings.js";
import { createHistoryNote } from "../parts/history-note.js";
import { createOpensList } from "../parts/opens-list.js";
import { createPictures } from "../parts/pictures.js";
import { createReaders } from "../parts/readers.js";
import { createSpeaker } from "../parts/speaker.js";
import { emptyState, errorState, skeleton } from "../parts/state.js";

const PAGE = 100;

/** @typedef {import("../client.js").Open} Open */
/** @typedef {import("../api.js").Message} Message */

/** @param {import("../desk.js").Desk} desk */
export function createHistory(desk) {
  const { texts, format, words, api, live, book, toasts } = desk;
  const readers = createReaders({ texts, format, words });
  const pictures = createPictures({ texts, format, words });
  const note = createHistoryNote({ texts, format, words, toasts, onSent: markSent });
  const readings = createReadings();

  /** @type {Message | undefined} */
  let message;
  /** @type {Open[]} */
  let opens = [];
  /** How many events have brought the message. An answer that was asked for before may be older. */
  let told = 0;
  /** How many of the newest opens were asked for. */
  let wanted = PAGE;
  /** @type {string | null} */
  let next = null;
  let machines = false;
  /** @type {string | undefined} */
  let shown;
  /** @type {ReturnType<typeof createSpeaker> | undefined} */
  let speaker;
  /** @type {() => void} */
  let onClosed = () => undefined;
  /** A selector of the row that this was opened from. The row may have been drawn anew since. @type {string | undefined} */
  let cameFrom;

  const title = h("h2", { id: "history-title", class: "history-title" });
  const sub = h("p", { class: "history-sub", ondue: drawNow });
  const content = h("div", { class: "history-content", tabindex: "0", role: "region", "aria-labelledby": "history-title" });
  const foot = h("footer", { class: "history-foot" });
  const dialog = h(
    "dialog",
    { class: "history", "aria-labelledby": "history-title", onclose: closed, oncancel: (/** @type {Event} */ event) => (event.preventDefault(), leave()) },
    h(
      "div",
      { class: "history-frame" },
      h(
        "header",
        { class: "dialog-head" },
        h("div", { class: "history-names" }, h("p", { class: "eyebrow" }, texts.history.title), title, sub),
        h("button", { class: "icon-button", type: "button", "aria-label": texts.history.back, onclick: leave }, icon("close")),
      ),
      content,
      foot,
    ),
  );
  onBeside(dialog, leave);
  // What can be pressed is kept while all around it is drawn anew, and nothing is drawn while it is pressed.
  let isDue = false;
  const isPressed = watchPress(content, desk.ended, () => isDue && draw());
  const picture = h("div", { class: "history-picture" });
  const places = h("div", {});
  const columns = h("div", { class: "history-columns" }, readers.element, places);
  const list = createOpensList({
    texts,
    format,
    words,
    book,
    onMachines: setMachines,
    onMore: more,
    // The keyboard goes on scrolling where the button was.
    onLast: () => content.focus({ preventScroll: true }),
  });

  /** Close it, and go back to where it was opened from. */
  function leave() {
    dialog.close();
    closed();
  }

  /** The browser's event comes a frame late: the dialog may have been put away already, or be open again. */
  function closed() {
    if (dialog.open || !shown) return;
    end();
    onClosed();
  }

  function end() {
    shown = undefined;
    readings.drop();
    returnFocus();
  }

  /** Give the focus back to the row. The browser does so, unless the element that had it is gone. */
  function returnFocus() {
    const focused = document.activeElement;
    if (!cameFrom || (focused !== document.body && !dialog.contains(focused))) return;
    const row = /** @type {HTMLElement | null} */ (document.querySelector(cameFrom));
    (row ?? document.getElementById("content"))?.focus({ preventScroll: true });
  }

  /** A selector of the row that has the focus: an open's link, or a message. */
  function focusedRow() {
    const focused = document.activeElement;
    const open = /** @type {HTMLElement | null | undefined} */ (focused?.closest("[data-open]"))?.dataset.open;
    const id = /** @type {HTMLElement | null | undefined} */ (focused?.closest("[data-message]"))?.dataset.message;
    return open ? `[data-open="${open}"] a` : id && `a[data-message="${id}"]`;
  }

  /** @param {boolean} value */
  function setMachines(value) {
    machines = value;
    wanted = PAGE;
    list.setMachines(value);
    return load();
  }

  async function load() {
    const id = shown;
    if (!id) return;
    list.setBusy(false);
    const since = book.heard;
    await readings.begin(async (counts) => {
      let [whole, page] = await Promise.all([api.message(id), fetchPage(id)]);
      const items = page.items;
      while (counts() && page.next && items.length < wanted) {
        page = await fetchPage(id, page.next);
        items.push(...page.items);
      }
      if (!counts()) return;
      message = whole;
      opens = items;
      next = page.next;
      book.noteWhole(whole, since);
      drawNames(whole);
      drawSpeaker(whole);
      draw();
    }, fail);
  }

  /** A page of opens, those before `cursor`. @param {string} id @param {string} [cursor] */
  const fetchPage = (id, cursor) => api.messageOpens(id, { limit: PAGE, cursor, all: machines });

  /** @param {{ status: number, message: string }} error */
  function fail(error) {
    const missing = error.status === 404;
    message = undefined;
    speaker = undefined;
    setTitle(missing ? texts.history.notFoundTitle : words.subject(book.peek(shown ?? ""), ""));
    fill(foot);
    const out = h("button", { class: "button", type: "button", onclick: leave }, texts.history.back);
    if (missing) fill(content, emptyState({ symbol: "mail", text: texts.history.notFound, action: out }));
    else fill(content, errorState(texts, error, load, live));
  }

  /** A long title is cut off, and whole on hover. @param {string} text */
  function setTitle(text) {
    title.textContent = text;
    title.title = text;
  }

  /** @param {Message} of */
  function drawNames(of) {
    const { crm, sent_at } = of;
    setTitle(words.subject(of));
    fill(
      sub,
      h("span", {}, words.to(of)),
      sent_at && h("span", {}, h("time", { datetime: sent_at, title: format.exact(sent_at), "data-due": words.isSent(of) ? null : sent_at }, (words.isSent(of) ? texts.messages.sent : texts.messages.toBeSent)(format.dateTime(sent_at)))),
      crm?.url && /^https?:/i.test(crm.url) && h("a", { href: crm.url, target: "_blank", rel: "noreferrer" }, texts.history.crm),
    );
  }

  /** Draw all but the speaker as it is now. */
  function drawNow() {
    if (!message) return;
    drawNames(message);
    draw();
  }

  /** Draw the speaker of a message that can be opened. One that is there is kept, as it may have the focus. @param {Message} of */
  function drawSpeaker({ id, muted: was, tracked }) {
    foot.hidden = !tracked;
    if (!tracked) return;
    const muted = book.peek(id)?.muted ?? was;
    if (speaker) return speaker.set(muted);
    speaker = createSpeaker({
      texts,
      muted,
      realtime: () => desk.settings.realtime_notifications,
      onToggle: async (next) => {
        const since = book.heard;
        book.noteWhole(await api.changeMessage(id, { muted: next }), since);
        return book.peek(id)?.muted ?? next;
      },
      onError: toasts.fail,
    });
    fill(foot, speaker.element);
  }

  function draw() {
    isDue = isPressed();
    if (!message || isDue) return;
    const counted = opens.filter((open) => open.counted);
    note.show(message);
    picture.hidden = !message.tracked;
    fill(
      picture,
      message.tracked && pictures.figures(message),
      counted.length > 0 && pictures.line(message, counted, !next),
    );
    readers.show(message);
    places.hidden = !counted.length;
    fill(places, pictures.places(counted, !next));
    list.element.hidden = !message.tracked;
    list.show(opens, next !== null);
    if (picture.parentElement !== content) fill(content, note.element, picture, columns, list.element);
  }

  /** @param {Message} draft */
  async function markSent({ id }) {
    const before = told;
    const changed = await api.changeMessage(id, { sent_at: api.now() });
    toasts.say(texts.add.isSent);
    if (!message || shown !== id) return;
    if (told === before) message = changed;
    drawNow();
    // The button that was pressed is gone.
    content.focus({ preventScroll: true });
  }

  /** Read the page after the oldest open that is shown. */
  async function more() {
    const id = shown;
    if (!id || !next) return;
    wanted = opens.length + PAGE;
    // A reading that is on its way goes as far as that.
    if (readings.going) return;
    const cursor = next;
    list.setBusy(true);
    await readings.extend(async (counts) => {
      const page = await fetchPage(id, cursor);
      if (!counts()) return;
      opens = [...opens, ...page.items];
      next = page.next;
      draw();
    }, toasts.fail);
    list.setBusy(false);
  }

  /** Put an open where its id, which tells its time, belongs. One older than what was read comes with its page. @param {Open} open */
  function put(open) {
    const last = opens.at(-1);
    if (opens.some(({ id }) => id === open.id) || (next && last && open.id < last.id)) return;
    opens = [...opens, open].sort((one, other) => (one.id < other.id ? 1 : -1));
  }

  /** The figures are the hub's. Only the list of opens is changed here. */
  const refresh = oneAtATime(async () => {
    const id = shown;
    const before = told;
    const whole = id ? await api.message(id).catch(() => undefined) : undefined;
    if (!message || shown !== id) return;
    if (whole && told === before) message = whole;
    draw();
  });

  live.on("opened", readings.after(({ open, message: brief }) => {
    if (brief.id !== shown) return;
    if (open.counted || machines) put(open);
    void refresh();
  }));
  live.on("corrected", readings.after(({ open, message: brief, was }) => {
    if (brief.id !== shown) return;
    const there = opens.find(({ id }) => id === open.id);
    if (there?.counted && !open.counted && was) list.takeBack(open.id);
    opens = opens.map((one) => (one.id === open.id ? open : one));
    if (open.counted || machines) put(open);
    void refresh();
  }));
  live.on("message", readings.after(({ message: whole }) => {
    if (whole.id !== shown || !message) return;
    told += 1;
    message = whole;
    drawNow();
  }));
  live.on("settings", () => speaker?.refresh());
  live.on("reset", () => void load());
  book.watch(({ id, muted }) => {
    if (id === shown) speaker?.set(muted);
  });

  return {
    dialog,
    /** @param {string} id @param {() => void} whenClosed */
    open(id, whenClosed) {
      onClosed = whenClosed;
      if (dialog.open && shown === id) return;
      shown = id;
      wanted = PAGE;
      message = undefined;
      speaker = undefined;
      opens = [];
      next = null;
      setTitle(words.subject(book.peek(id), texts.loading));
      fill(sub);
      foot.hidden = false;
      fill(foot);
      fill(content, skeleton(texts.loading, 5));
      if (!dialog.open) {
        cameFrom = focusedRow();
        dialog.showModal();
      }
      void load();
    },
    /** Close it without going anywhere: the address has changed already. */
    dismiss() {
      if (!shown) return;
      dialog.close();
      end();
    },
    get isOpen() {
      return dialog.open;
    },
    toggleMute: () => speaker?.toggle(),
    toggleMachines: () => void setMachines(!machines),
    redraw: drawNow,
  };
}
