/**
 * How many notifications the user has not seen on any device. Between the hub's answers the page counts
 * along.
 */

import { oneAtATime } from "./readings.js";

/** @typedef {ReturnType<typeof createUnseen>} Unseen */

/**
 * @param {object} parts
 * @param {import("../api.js").Api} parts.api
 * @param {import("./live.js").Live} parts.live
 * @param {import("../api.js").Me} parts.me
 * @param {(count: number) => void} parts.onChange called now and at every change
 */
export function createUnseen({ api, live, me, onChange }) {
  let count = me.unseen;
  let seen = me.seen_sequence;
  /** The sequence up to which the hub has counted. */
  let counted = me.sequence;
  let asking = false;
  /** Whether the last request failed. It is tried again as soon as something happens. */
  let failed = false;

  /** @param {number} next */
  function set(next) {
    count = Math.max(0, next);
    onChange(count);
  }

  async function ask() {
    asking = true;
    try {
      const { unseen, seen_sequence, sequence } = await api.me();
      failed = false;
      // More was seen while the answer was on its way.
      if (seen_sequence < seen) return;
      seen = seen_sequence;
      counted = Math.max(counted, sequence);
      set(unseen);
    } catch {
      failed = true;
    } finally {
      asking = false;
    }
  }
  // Called when the page cannot tell the count.
  const refresh = oneAtATime(ask);

  live.on("opened", ({ notify, sequence }) => {
    const isOneMore = notify && sequence > Math.max(seen, counted);
    if (isOneMore) set(count + 1);
    // The answer may or may not count this open.
    if (failed || (asking && isOneMore)) void refresh();
  });
  live.on("state", ({ state }) => {
    if (failed && state === "live") void refresh();
  });
  live.on("corrected", refresh);
  // The answer tells how late it is. By a clock that was set, all times would be wrong until the next request.
  live.on("jumped", refresh);
  live.on("reset", () => {
    seen = counted = 0;
    void refresh();
  });
  live.on("seen", ({ sequence }) => {
    seen = Math.max(seen, sequence);
    if (sequence >= live.sequence - 1) set(0);
    else void refresh();
  });
  onChange(count);

  return {
    get count() {
      return count;
    },
    /** Everything so far is seen. */
    markAll() {
      if (!count) return;
      seen = live.sequence;
      set(0);
      live.seen(seen);
    },
  };
}
