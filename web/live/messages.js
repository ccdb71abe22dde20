/**
 * What the page knows of messages, kept current. An open that the socket tells comes with its message, one from the
 * REST API with the message's id only. A message is asked for once, however many rows show it, and again only if it
 * could not be read.
 *
 * An answer of the REST API may come after an event that is newer than the answer. So whoever asks remembers how many
 * events had been `heard` by then, and an answer that an event has overtaken is not taken.
 */

import { createRetry } from "./retry.js";

/** @typedef {import("../words.js").Brief} Brief */
/** @typedef {ReturnType<typeof createMessageBook>} MessageBook */

/**
 * @param {{ message: (id: string) => Promise<import("../api.js").Message> }} api
 * @param {import("./live.js").Live} live
 * @param {AbortSignal} ended
 */
export function createMessageBook(api, live, ended) {
  /** @type {Map<string, Brief>} */
  const known = new Map();
  /** @type {Map<string, Promise<Brief | undefined>>} */
  const asked = new Map();
  /** @type {Set<string>} the ids of messages that could not be read, and will be asked for again */
  const unread = new Set();
  const retry = createRetry(readUnread, ended);
  /** @type {Set<(brief: Brief) => void>} */
  const listeners = new Set();
  /** How many events have been heard. */
  let heard = 0;
  /** @type {Map<string, number>} the number of the last event about each message */
  const heardOf = new Map();
  /** The number of the last mute-all: an answer from before it may still say that a message is not muted. */
  let allMuted = 0;
  /** The number of the last reset: no answer from before it is taken. */
  let lastReset = 0;

  /** @param {Brief} brief */
  function note(brief) {
    known.set(brief.id, brief);
    if (unread.delete(brief.id) && !unread.size) retry.stop();
    listeners.forEach((listener) => listener(brief));
  }

  /** @param {Brief} brief */
  function hear(brief) {
    heardOf.set(brief.id, (heard += 1));
    note(brief);
  }

  /** @param {import("../api.js").Message} message @returns {Brief} */
  const briefOf = ({ id, subject, opens, muted, recipients }) => ({ id, subject, opens, muted, recipients: recipients.length });

  /**
   * Take an answer of the REST API. Returns whether it is the newest that is known of the message.
   * @param {import("../api.js").Message} message
   * @param {number} since `heard` when it was asked for
   */
  function noteWhole(message, since) {
    if (Math.max(heardOf.get(message.id) ?? 0, lastReset) > since) return false;
    note({ ...briefOf(message), muted: message.muted || allMuted > since });
    return true;
  }

  /** @param {string} id @returns {Promise<Brief>} */
  async function read(id) {
    const since = heard;
    noteWhole(await api.message(id), since);
    return known.get(id) ?? read(id);
  }

  /** @param {string} id @returns {Promise<Brief | undefined>} */
  async function brief(id) {
    const there = known.get(id);
    if (there) return there;
    let asking = asked.get(id);
    if (!asking) {
      asking = read(id)
        .catch((error) => fail(id, error))
        .finally(() => asked.delete(id));
      asked.set(id, asking);
    }
    return asking;
  }

  /** @param {string} id @param {{ status: number, retryAfter: number }} error @returns {undefined} */
  function fail(id, { status, retryAfter }) {
    // A message that is gone, or not the user's, stays so.
    if (ended.aborted || status === 404) return void unread.delete(id);
    unread.add(id);
    if (!retry.waits) retry.later(retryAfter);
  }

  function readUnread() {
    for (const id of unread) void brief(id);
  }

  live.on("opened", ({ message }) => hear(message));
  live.on("corrected", ({ message }) => hear(message));
  live.on("message", ({ message }) => hear(briefOf(message)));
  live.on("muted-all", () => {
    allMuted = heard += 1;
    known.forEach((brief) => note({ ...brief, muted: true }));
  });
  live.on("reset", () => {
    lastReset = heard += 1;
    known.clear();
  });
  live.on("state", ({ state }) => state === "live" && readUnread());

  return {
    /** To be remembered when asking the REST API, and passed on with the answer. */
    get heard() {
      return heard;
    },
    noteWhole,
    /** @param {string} id */
    peek: (id) => known.get(id),
    /** The message, or undefined if it cannot be read now. Then those who `watch` are told once it is. */
    brief,
    /** @param {(brief: Brief) => void} listener @returns {() => void} stops it */
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
