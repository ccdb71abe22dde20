/**
 * Pop-ups: one for each open, however many tabs there are. Opens that come together share one. What is seen
 * elsewhere or taken back disappears.
 *
 * Every tab keeps the same queue. Only the leader shows it, and tells the others how far it has come, so that
 * when it closes or is cut off, the next leader shows exactly what is left. Only a tab that has caught up
 * leads, so all that was missed shares one pop-up.
 */

/** How long a pop-up waits for another open. */
const COLLECT_MS = 350;
/** How long it waits at most. */
const LONGEST_MS = 1_500;
/** After this long without a user at this browser, a pop-up waits: it may be seen on another device first. */
const THERE_MS = 120_000;
const HOLD_MS = 2_000;
/** An open that has waited longer is not news any more. */
const STALE_MS = 15_000;

/** @typedef {import("../client.js").Open} Open */
/** @typedef {import("../words.js").Brief} Brief */
/** @typedef {{ sequence: number, open: Open, message: Brief, missed: boolean, at: number }} Item */
/** @typedef {{ popup: import("./screen.js").Popup, items: Item[], closing: boolean }} Shown */

/**
 * @param {object} parts
 * @param {import("../live/live.js").Live} parts.live
 * @param {import("../live/attention.js").Attention} parts.attention
 * @param {BroadcastChannel} parts.channel
 * @param {() => boolean} parts.leads whether this tab is the leader, and live
 * @param {() => boolean} parts.held whether the user is muting everything just now
 * @param {(items: Item[]) => { title: string, body: string, path: string }} parts.describe
 * @param {import("./screen.js").Screen} parts.screen
 * @param {() => boolean} parts.wanted whether this browser is to show any
 * @param {() => void} parts.chime
 */
export function createPopups({ live, attention, channel, leads, held, describe, screen, wanted, chime }) {
  /** @type {Item[]} */
  let waiting = [];
  /** @type {Set<Shown>} */
  const shown = new Set();
  /** How far the leader has shown opens. This tab may know that before it has the opens. */
  let shownTo = 0;
  let stopped = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  function schedule() {
    if (!waiting.length) return;
    const waited = Date.now() - waiting[0].at;
    const collect = Math.max(0, Math.min(COLLECT_MS, LONGEST_MS - waited));
    clearTimeout(timer);
    timer = setTimeout(flush, collect + (attention.within(THERE_MS) ? 0 : HOLD_MS));
  }

  function flush() {
    waiting = waiting.filter(({ at }) => Date.now() - at < STALE_MS);
    if (!leads() || !waiting.length) return;
    if (held()) {
      timer = setTimeout(flush, COLLECT_MS);
      return;
    }
    const items = waiting;
    waiting = [];
    channel.postMessage({ shown: items[items.length - 1].sequence });
    chime();
    present(items);
  }

  /** @param {Item[]} items @param {{ silent?: boolean }} [how] */
  function present(items, { silent = false } = {}) {
    if (stopped || !wanted()) return;
    const { title, body, path } = describe(items);
    const { sequence } = items[items.length - 1];
    const about = { path, sequence, opens: items.map(({ open }) => open.id) };
    // Each has its own tag: one that replaces another of the same tag makes no sound.
    const popup = screen.show(title, { body, tag: `opens-${sequence}`, silent, icon: "/static/icon-192.png", data: about });
    if (popup) shown.add({ popup, items, closing: false });
  }

  /** Replace a pop-up by one of what is left. More may be removed while it is being closed. @param {Shown} entry */
  async function replace(entry) {
    entry.closing = true;
    const was = await entry.popup.close();
    shown.delete(entry);
    if (was && entry.items.length) present(entry.items, { silent: true });
  }

  /** @param {(item: Item) => boolean} gone */
  function remove(gone) {
    waiting = waiting.filter((item) => !gone(item));
    for (const entry of [...shown]) {
      const left = entry.items.filter((item) => !gone(item));
      if (left.length === entry.items.length) continue;
      entry.items = left;
      if (!entry.closing) void replace(entry);
    }
  }

  live.on("opened", ({ open, message, notify, missed, sequence }) => {
    if (!notify || sequence <= shownTo) return;
    waiting.push({ sequence, open, message, missed, at: Date.now() });
    schedule();
  });
  live.on("corrected", ({ open }) => {
    if (open.counted) return;
    remove((item) => item.open.id === open.id);
    void screen.withdraw(({ opens }) => opens.every((id) => id === open.id));
  });
  live.on("seen", ({ sequence }) => {
    remove((item) => item.sequence <= sequence);
    void screen.withdraw((about) => about.sequence <= sequence);
  });
  live.on("muted-all", () => (waiting = []));
  live.on("settings", ({ settings }) => {
    if (!settings.realtime_notifications) waiting = [];
  });
  live.on("message", ({ message: { id, muted } }) => {
    if (muted) waiting = waiting.filter(({ message }) => message.id !== id);
  });
  live.on("reset", () => (shownTo = 0));
  channel.addEventListener("message", ({ data }) => {
    if (!data.shown) return;
    shownTo = data.shown;
    waiting = waiting.filter(({ sequence }) => sequence > shownTo);
  });

  return {
    /** This tab leads now, and shows what the last leader left. */
    takeOver: schedule,
    stop() {
      clearTimeout(timer);
      waiting = [];
      stopped = true;
      void screen.withdraw(() => true);
      shown.forEach(({ popup }) => void popup.close());
    },
  };
}
