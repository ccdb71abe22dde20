/**
 * What happens now: the hub's events, told to the views in the dashboard's own terms.
 *
 * One socket a tab, on the `history` stream: the page shows opens that it does not announce.
 *
 * | tells       | with |
 * | ----------- | ---- |
 * | `opened`    | `{ open, message, notify, missed, sequence }`; missed: while this page was away, not before it began |
 * | `corrected` | `{ open, message, was, sequence }` |
 * | `message`   | `{ message, isNew }` |
 * | `muted-all` | `{ at }` |
 * | `settings`  | `{ settings }`; also whenever it connects, for what has changed meanwhile |
 * | `seen`      | `{ sequence }` |
 * | `state`     | `{ state, retryIn }` |
 * | `caught-up` | `{ missed }`: how many opens the user would have been told of, had the page not been away |
 * | `reset`     | `{}`; read everything afresh |
 * | `jumped`    | `{}`; the computer's clock was set, or it slept |
 * | `refused`   | `{ code }` |
 * | `stranger`  | `{}`; the session is another user's by now, and nothing of theirs is told here |
 */

import { GlimpseClient, memoryCursor } from "../client.js";

const TICK_MS = 5_000;

/** @typedef {ReturnType<typeof createLive>} Live */

/**
 * @param {object} options
 * @param {string} options.url the hub's address
 * @param {string} options.user the id of the user whom the page was begun for
 * @param {number} options.sequence the log's head when the page first read the REST API
 */
export function createLive({ url, user, sequence }) {
  const told = new EventTarget();
  const client = new GlimpseClient({ url, stream: "history", cursor: memoryCursor(sequence) });
  let head = sequence;
  /** A page that has not been live yet cannot have been away. */
  let wasLive = false;
  let backSince = 0;
  /** @type {Set<string>} the ids of opens that were missed and would have been told */
  const untold = new Set();

  /** @param {string} type @param {object} detail */
  const tell = (type, detail) => told.dispatchEvent(new CustomEvent(type, { detail }));
  /** @param {string} type @param {(detail: any) => void} listener @returns {() => void} stops it */
  function on(type, listener) {
    const handle = (/** @type {any} */ event) => listener(event.detail);
    told.addEventListener(type, handle);
    return () => told.removeEventListener(type, handle);
  }
  /** @param {string} type @param {(detail: any) => void} listener */
  const from = (type, listener) =>
    client.addEventListener(type, (event) => listener(/** @type {CustomEvent} */ (event).detail));

  from("event", ({ event, ...how }) => {
    head = Number(event.sequence);
    const data = event.data;
    const missed = how.missed && wasLive;
    if (event.type === "open.recorded" && missed && data.notify) untold.add(data.open.id);
    if (event.type === "open.reclassified" && !data.open.counted) untold.delete(data.open.id);
    if (event.type === "open.recorded") tell("opened", { ...data, missed, sequence: head });
    else if (event.type === "open.reclassified") tell("corrected", { ...data, sequence: head });
    else if (event.type === "message.registered") tell("message", { message: data.message, isNew: true });
    else if (event.type === "message.updated") tell("message", { message: data.message, isNew: false });
    else if (event.type === "messages.muted") tell("muted-all", { at: data.muted_all_at });
    else if (event.type === "settings.updated") tell("settings", { settings: data.settings });
    else if (event.type === "notifications.seen") tell("seen", { sequence: data.sequence });
  });
  from("connected", (detail) => {
    if (detail.user.id === user) return tell("settings", { settings: detail.settings });
    client.close();
    tell("stranger", {});
  });
  from("state", (detail) => {
    if (detail.state === "live" && wasLive) backSince = performance.now();
    tell("state", detail);
  });
  from("caughtup", () => {
    wasLive = true;
    tell("caught-up", { missed: untold.size });
    untold.clear();
  });
  from("refused", (detail) => tell("refused", detail));
  from("reset", (detail) => {
    head = detail.sequence;
    tell("reset", {});
  });

  const ended = new AbortController();
  const { signal } = ended;
  addEventListener("offline", () => client.networkLost(), { signal });
  addEventListener("online", () => client.retryNow(), { signal });
  document.addEventListener("visibilitychange", () => document.hidden || client.retryNow(), { signal });
  let ticked = Date.now();
  let ran = performance.now();
  const clock = setInterval(() => {
    const passed = Date.now() - ticked;
    // A hidden page's timers are late, by both clocks. Only one of the two can be set, and goes on during sleep.
    const jump = passed - (performance.now() - ran);
    // A clock that has jumped: the machine slept. Its socket may be dead, and must not be shown as live.
    if (passed > 3 * TICK_MS) client.retryNow();
    if (Math.abs(jump) > TICK_MS) tell("jumped", {});
    ticked += passed;
    ran = performance.now();
  }, TICK_MS);

  return {
    on,
    start: () => client.start(),
    /** @param {number} sequence */
    seen: (sequence) => client.seen(sequence),
    get state() {
      return client.state;
    },
    /** When the page was last live again, by `performance.now()`. */
    get backSince() {
      return backSince;
    },
    /** The last sequence this page knows of. */
    get sequence() {
      return head;
    },
    close() {
      clearInterval(clock);
      ended.abort();
      client.close();
    },
  };
}
