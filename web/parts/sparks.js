/**
 * The small pictures in the list of messages. A message's opens are asked for when its row is in sight,
 * a few at a time, and again only when their number has changed.
 */

import { h } from "../dom.js";
import { spark } from "./charts.js";

const AT_ONCE = 2;
const MOST_OPENS = 100;
const REST_MS = 150;

/** @typedef {ReturnType<typeof createSparks>} Sparks */
/** @typedef {import("../api.js").Message} Message */

/**
 * @param {object} parts
 * @param {import("../api.js").Api} parts.api
 * @param {(id: string) => void} parts.onReady called when a message's picture can be drawn
 */
export function createSparks({ api, onReady }) {
  /** @type {Map<string, { opens: number, times: number[] }>} */
  const known = new Map();
  /** @type {Map<string, { opens: number, place: HTMLElement }>} the pictures to be read; the last is read first */
  const wanted = new Map();
  /** @type {Set<string>} the ids of messages whose row was not in the document at its turn */
  const skipped = new Set();
  let running = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  function start() {
    while (running < AT_ONCE && wanted.size) {
      const [id, { opens, place }] = /** @type {[string, { opens: number, place: HTMLElement }]} */ ([...wanted].pop());
      wanted.delete(id);
      if (place.isConnected) void read(id, opens);
      else skipped.add(id); // Its row was scrolled out of sight, or the view was left.
    }
  }

  /** @param {string} id @param {number} opens */
  async function read(id, opens) {
    running += 1;
    try {
      const { items } = await api.messageOpens(id, { limit: MOST_OPENS });
      known.set(id, { opens, times: items.map(({ at }) => Date.parse(at)) });
      onReady(id);
    } catch {
      // A row without its picture is still a row.
    } finally {
      running -= 1;
      start();
    }
  }

  return {
    /** The view is shown again: ask again for the pictures that were skipped. */
    resume() {
      const ids = [...skipped];
      skipped.clear();
      ids.forEach(onReady);
    },
    /** @param {Message} message @param {string} label */
    picture(message, label) {
      const from = Date.parse(message.sent_at ?? message.created_at);
      const have = known.get(message.id);
      const place = h("span", { class: "spark-place" });
      if (have) place.append(spark(have.times, from, Date.parse(api.now()), label));
      if (have?.opens !== message.opens) {
        wanted.delete(message.id); // So that it becomes the last.
        wanted.set(message.id, { opens: message.opens, place });
        clearTimeout(timer);
        timer = setTimeout(start, REST_MS);
      }
      return place;
    },
  };
}
