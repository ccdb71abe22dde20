/**
 * What the page knows of messages, kept current: an open on the wire names its message, one from the
 * REST API only carries its id. A message is asked for once, however many rows show it.
 */

/** @typedef {import("../words.js").Brief} Brief */
/** @typedef {ReturnType<typeof createMessageBook>} MessageBook */

/**
 * @param {{ message: (id: string) => Promise<import("../api.js").Message> }} api
 * @param {import("./live.js").Live} live
 */
export function createMessageBook(api, live) {
  /** @type {Map<string, Brief>} */
  const known = new Map();
  /** @type {Map<string, Promise<Brief | undefined>>} */
  const asked = new Map();
  /** @type {Set<(brief: Brief) => void>} */
  const listeners = new Set();

  /** @param {Brief} brief */
  function note(brief) {
    known.set(brief.id, brief);
    listeners.forEach((listener) => listener(brief));
  }

  /** @param {import("../api.js").Message} message */
  const noteWhole = ({ id, subject, opens, muted, recipients }) =>
    note({ id, subject, opens, muted, recipients: recipients.length });

  live.on("opened", ({ message }) => note(message));
  live.on("corrected", ({ message }) => note(message));
  live.on("message", ({ message }) => noteWhole(message));
  live.on("muted-all", () => known.forEach((brief) => note({ ...brief, muted: true })));
  live.on("reset", () => known.clear());

  return {
    noteWhole,
    /** @param {string} id */
    peek: (id) => known.get(id),
    /** The message, or undefined if it cannot be had. @param {string} id @returns {Promise<Brief | undefined>} */
    async brief(id) {
      const brief = known.get(id);
      if (brief) return brief;
      let asking = asked.get(id);
      if (!asking) {
        asking = api
          .message(id)
          .then(noteWhole)
          .then(() => known.get(id))
          .catch(() => undefined)
          .finally(() => asked.delete(id));
        asked.set(id, asking);
      }
      return asking;
    },
    /** @param {(brief: Brief) => void} listener @returns {() => void} stops it */
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
