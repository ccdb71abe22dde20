/**
 * The Glimpse client: a hub's events, each once and in order, for as long as you listen.
 *
 * It has no dependency and touches no DOM, so a page, a browser extension and a service worker
 * use it alike. It survives sleep, deploys and lost networks: it comes back by itself with
 * back-off and full jitter, resumes after the last event it saw, and reads what the socket cannot
 * replay from the REST API.
 *
 *     const client = new GlimpseClient({ url: "https://hub.example.com", token, cursor });
 *     client.addEventListener("event", ({ detail }) => console.log(detail.event, detail.missed));
 *     client.start();
 *
 * What it dispatches (all are `CustomEvent`):
 *
 * | type        | detail |
 * | ----------- | ------ |
 * | `event`     | `{ event: GlimpseEvent, missed: boolean }`; missed: it happened while we were away |
 * | `state`     | `{ state: State, retryIn: number \| null }`; milliseconds until the next attempt |
 * | `connected` | `{ user, settings, sequence, seen_sequence, recovered }`, as the hub says it |
 * | `caughtup`  | `{ missed: number }`; everything missed has been dispatched, what follows is live |
 * | `reset`     | `{ sequence: number }`; too much was missed, or it cannot be read: read afresh, go on from here |
 * | `refused`   | `{ code: number, reason: string }`; it will not come back until `start()` is called again |
 * | `problem`   | `{ code: string, detail: string }`; the hub could not use a frame of ours |
 */

/** @import { Cursor, CursorStore, GlimpseClient as Declared, GlimpseEvent, Options, State } from "./client.d.ts" */

const SUBPROTOCOL = "glimpse.v1";
/** `WebSocket.OPEN`. A socket that is closing also takes frames, but sends none of them. */
const OPEN = 1;
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;
const CONNECT_MS = 15_000;
const ANSWER_MS = 30_000;
/** Once a connection has lasted this long, the failures before it are forgotten. */
const STEADY_MS = 10_000;
/** A filtered replay is over when nothing has come for this long. */
const REPLAYED_MS = 500;
/** From this close code on, trying again without a change is of no use. */
const FIRST_FINAL_CODE = 4400;
/** The hub takes twenty frames a second, so it cannot be told at every event what was seen. */
const SEEN_MS = 1_000;
const PAGE = 200;
/** After this many failures in a row, in some half a minute, the REST API counts as out of reach though the socket is not. */
const MOST_UNREAD = 8;
/** More missed events than this are not worth replaying one by one. */
const MOST_CAUGHT_UP = 5_000;
/** An open with one of these verdicts was never told. One with `scanner` may have been, while it was taken for a person's. */
const NEVER_TOLD = ["bot", "prefetch"];

/**
 * The longest wait before attempt number `attempt` (from 0), in milliseconds; the wait is a random part of it.
 * @param {number} attempt
 */
export function backoffCeiling(attempt) {
  return Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(attempt, 16));
}

/** A cursor that is kept in memory only, starting at `sequence`. @param {number | null} [sequence] @returns {CursorStore} */
export function memoryCursor(sequence = null) {
  return { get: () => sequence, set: (next) => (sequence = next) };
}

/** The sequence that a store has kept, perhaps as text; null if it has kept none. @param {Cursor} kept */
function toSequence(kept) {
  const sequence = Number.parseInt(String(kept), 10);
  return Number.isSafeInteger(sequence) ? sequence : null;
}

/** @implements {Omit<Declared, keyof EventTarget>} */
export class GlimpseClient extends EventTarget {
  /** @type {State} */
  #state = "idle";
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {number | null} the last sequence dispatched; null until the hub has told us where it is */
  #last = null;
  #attempt = 0;
  #heartbeatMs = 20_000;
  /** When the hub last said anything, by the wall clock, which goes on while a machine sleeps. */
  #heard = 0;
  /** Whether the hub has answered our `connect`. */
  #greeted = false;
  /** An event up to this sequence is one that was missed. */
  #head = 0;
  /** How many missed events were dispatched since the client was last live. */
  #missed = 0;
  /** How many times in a row what was missed could not be read. */
  #unread = 0;
  /** @type {GlimpseEvent[] | null} live events that wait while the REST API is read */
  #held = null;
  /** How far notifications are read: as we were told, as we told the hub on this connection, and as it told us. */
  #seen = { here: 0, told: 0, there: 0 };
  /** @type {{ [purpose in "retry" | "silent" | "steady" | "replayed" | "seen"]?: ReturnType<typeof setTimeout> }} */
  #timers = {};
  #saving = /** @type {Promise<unknown>} */ (Promise.resolve());
  #options;

  /** @param {Options} options */
  constructor({ url, token, stream = "notifications", cursor = memoryCursor(), random = Math.random, ...given }) {
    super();
    const { WebSocket = globalThis.WebSocket, fetch = globalThis.fetch.bind(globalThis) } = given;
    this.#options = { url: url.replace(/\/+$/, ""), token, stream, cursor, random, WebSocket, fetch };
  }

  get state() {
    return this.#state;
  }

  /** The last sequence that was dispatched, or null. */
  get sequence() {
    return this.#last;
  }

  /** Connect, and stay connected until `close()`. Calling it again is harmless. */
  start() {
    if (this.#state !== "idle" && this.#state !== "refused") return;
    this.#attempt = 0;
    this.#connect();
  }

  /** Disconnect, and stay so until `start()`, which goes on from the last event. */
  close() {
    // A listener may close this on `connected`, because the user is another one. Nothing was seen in their name.
    if (this.#state !== "connecting") this.#sendSeen();
    this.#drop(1000);
    this.#become("idle");
  }

  /** The network is back, or the machine woke up: try now. A socket that has been silent for too long is replaced. */
  retryNow() {
    const isSilent = this.#socket && Date.now() - this.#heard > 1.5 * this.#heartbeatMs;
    if (this.#state === "waiting" || isSilent) this.#connect();
  }

  /** The network is gone: do not wait for the silence to show it. The client goes on trying, as the hub may be on this machine. */
  networkLost() {
    if (this.#socket) this.#closed(4000, "offline");
  }

  /**
   * The sender is looking at this message now: a hit on it from 10 s ago to 10 s from now is their own.
   * @param {string} messageId
   * @returns {Promise<boolean>} whether it was sent on the socket, which tells a refusal as a `problem`, or taken by the REST API
   */
  async viewing(messageId) {
    if (this.#send({ type: "viewing", message_id: messageId })) return true;
    const path = `/messages/${encodeURIComponent(messageId)}/viewing`;
    return this.#request(path, { method: "POST" }).then(({ ok }) => ok, () => false);
  }

  /**
   * Notifications up to `sequence` are read, on every device. The sequence is kept, and sent again, until the hub has it.
   * This may be called at every event: the hub is told once a second, and always of the last.
   * @param {number} sequence
   */
  seen(sequence) {
    this.#seen.here = Math.max(toSequence(sequence) ?? 0, this.#seen.here);
    if (this.#timers.seen) return;
    this.#sendSeen();
    const { here } = this.#seen;
    this.#timers.seen = setTimeout(() => {
      this.#timers.seen = undefined;
      if (this.#seen.here !== here) this.seen(this.#seen.here);
    }, SEEN_MS);
  }

  /** @param {string} type @param {object} detail */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** @param {State} state @param {number | null} [retryIn] */
  #become(state, retryIn = null) {
    this.#state = state;
    this.#tell("state", { state, retryIn });
  }

  async #connect() {
    this.#drop(1000);
    // The cursor's store may keep us waiting, just as the hub may.
    this.#watch(CONNECT_MS);
    this.#become("connecting");
    const isOver = () => this.#state !== "connecting" || this.#socket;
    /** @type {WebSocket} */
    let socket;
    try {
      const kept = this.#last ?? toSequence(await this.#options.cursor.get());
      if (isOver()) return;
      this.#last = kept;
      socket = new this.#options.WebSocket(`${this.#options.url.replace(/^http/, "ws")}/api/v1/ws`, [SUBPROTOCOL]);
    } catch {
      return isOver() ? undefined : this.#closed(4000, "no cursor");
    }
    this.#socket = socket;
    socket.onopen = () => {
      socket.onerror = null;
      const { token, stream } = this.#options;
      socket.send(JSON.stringify({ type: "connect", ...(token ? { token } : {}), stream, after: this.#last }));
    };
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code, reason }) => this.#closed(code, reason);
    // Node before 24 tells no `close` of a socket that did not open.
    socket.onerror = () => this.#closed(1006, "");
    this.#watch(CONNECT_MS);
  }

  /** Let go of the socket without waiting for the hub, which may be gone. @param {number} code */
  #drop(code) {
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    this.#timers = {};
    const socket = this.#socket;
    this.#socket = null;
    this.#held = null;
    this.#greeted = false;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
    socket.close(code);
  }

  /** @param {number} code @param {string} reason */
  #closed(code, reason) {
    this.#drop(1000);
    if (code < FIRST_FINAL_CODE) return this.#wait();
    this.#become("refused");
    this.#tell("refused", { code, reason });
  }

  #wait() {
    const delay = this.#options.random() * backoffCeiling(this.#attempt++);
    this.#timers.retry = setTimeout(() => this.#connect(), delay);
    this.#become("waiting", delay);
  }

  /** Give the hub `milliseconds` to say anything at all. @param {number} milliseconds */
  #watch(milliseconds) {
    this.#heard = Date.now();
    clearTimeout(this.#timers.silent);
    this.#timers.silent = setTimeout(() => this.#closed(4000, "silence"), milliseconds);
  }

  /** @param {string} text */
  #receive(text) {
    this.#watch(2 * this.#heartbeatMs);
    const frame = JSON.parse(text);
    if (frame.type === "event" && this.#held) this.#held.push(frame.event);
    else if (frame.type === "event") this.#deliver(frame.event);
    else if (frame.type === "connected") this.#connected(frame);
    else if (frame.type === "error") this.#problem(frame);
    else if (frame.type === "heartbeat") {
      this.#sendSeen();
      if (this.#held) return;
      // What the filtered stream leaves out was not missed, however much it is by the next connection.
      if (frame.sequence > Number(this.#last)) this.#advance(frame.sequence);
      this.#settle();
    }
  }

  /** An error does not name the frame that it is about, but only a `seen` can be beyond the log. @param {any} frame */
  #problem({ code, detail }) {
    // Sent again at once, `seen` would be refused again: the next heartbeat sends it.
    if (code === "unavailable") this.#seen.told = 0;
    if (code === "beyond_the_log") this.#seen.here = this.#seen.told = 0;
    this.#tell("problem", { code, detail });
  }

  /** @param {any} frame */
  #connected(frame) {
    this.#heartbeatMs = frame.heartbeat * 1000;
    this.#watch(2 * this.#heartbeatMs);
    this.#timers.steady = setTimeout(() => (this.#attempt = 0), STEADY_MS);
    this.#greeted = true;
    this.#head = frame.sequence;
    const last = this.#last ?? frame.sequence;
    if (this.#last === null) this.#advance(frame.sequence);
    const behind = last !== frame.sequence;
    const isNewLog = last > frame.sequence;
    this.#seen = { here: isNewLog ? 0 : this.#seen.here, told: 0, there: frame.seen_sequence };
    this.#tell("connected", frame);
    if (this.#greeted && behind) this.#become("catching-up");
    if (!this.#greeted) return;
    this.#sendSeen();
    if (isNewLog) this.#reset(frame.sequence);
    if (!behind || isNewLog) this.#settle();
    else if (frame.recovered) this.#settleSoon();
    else this.#catchUp(frame.sequence);
  }

  /** `history` is replayed up to the head. The filtered stream may end below it, and only silence shows that. */
  #settleSoon() {
    clearTimeout(this.#timers.replayed);
    if (this.#options.stream !== "history") this.#timers.replayed = setTimeout(() => this.#settle(), REPLAYED_MS);
  }

  /** @param {number} head */
  #reset(head) {
    this.#advance(head);
    this.#tell("reset", { sequence: head });
  }

  #settle() {
    if (this.#state === "live" || !this.#greeted) return;
    const missed = this.#missed;
    this.#missed = 0;
    this.#become("live");
    this.#tell("caughtup", { missed });
  }

  /** Dispatch an event unless we have had it. @param {GlimpseEvent} event */
  #deliver(event) {
    const sequence = Number(event.sequence);
    if (this.#last !== null && sequence <= this.#last) return;
    const missed = sequence <= this.#head;
    if (missed) this.#missed += 1;
    else this.#settle();
    // A listener may have closed the client on `caughtup`.
    if (!this.#greeted) return;
    this.#last = sequence;
    if (event.type === "notifications.seen") this.#seen.there = Math.max(event.data.sequence, this.#seen.there);
    this.#tell("event", { event, missed });
    this.#advance(sequence);
    if (this.#held || !this.#greeted) return;
    if (sequence === this.#head) this.#settle();
    else if (missed) this.#settleSoon();
  }

  /** Keep the cursor. Writes are queued, so a slow store never ends on an older sequence. @param {number} sequence */
  #advance(sequence) {
    this.#last = sequence;
    this.#saving = this.#saving.then(() => this.#options.cursor.set(sequence)).catch(() => undefined);
  }

  /** Read from the REST API what the socket could not replay. @param {number} head */
  async #catchUp(head) {
    const socket = this.#socket;
    /** @type {GlimpseEvent[]} */
    const held = (this.#held = []);
    const mine = () => this.#socket === socket && this.#held === held;
    try {
      let whole = head - Number(this.#last) <= MOST_CAUGHT_UP;
      while (whole && Number(this.#last) < head) {
        const response = await this.#request(`/events?after=${this.#last}&limit=${PAGE}`);
        if (!response.ok) throw new Error(`the hub answered ${response.status}`);
        const { items } = /** @type {{ items: GlimpseEvent[] }} */ (await response.json());
        if (!mine()) return;
        this.#unread = 0;
        // The log is gapless: a first event that is not the next one means that it was trimmed.
        whole = items.length > 0 && Number(items[0].sequence) === Number(this.#last) + 1;
        // A listener may close the client at any event.
        if (whole) for (const event of items) if (mine()) this.#replay(event);
      }
      if (!whole && mine()) this.#reset(head);
    } catch {
      if (!mine()) return;
      this.#unread += 1;
      if (this.#unread < MOST_UNREAD) return this.#closed(4000, "no answer");
      this.#unread = 0;
      this.#reset(head);
    }
    if (!mine()) return;
    this.#held = null;
    for (const event of held) if (this.#socket === socket) this.#deliver(event);
    this.#settle();
  }

  /** One event of the REST log, which is not filtered as the stream is. @param {GlimpseEvent} event */
  #replay(event) {
    const { notify, open, was } = event.data;
    let told = event.type !== "open.recorded" || notify;
    // The log does not say whether an open that was corrected had been told. Of some it is certain that they had not.
    if (event.type === "open.reclassified") told = !open.repeat && !NEVER_TOLD.includes(was);
    if (told || this.#options.stream === "history") this.#deliver(event);
    else this.#advance(Number(event.sequence));
  }

  /** @param {object} frame @returns {boolean} whether it was sent */
  #send(frame) {
    if (this.#socket?.readyState !== OPEN || !this.#greeted) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  #sendSeen() {
    const { here, told, there } = this.#seen;
    if (here > Math.max(told, there) && this.#send({ type: "seen", sequence: here })) this.#seen.told = here;
  }

  /** @param {string} path @param {RequestInit} [init] */
  async #request(path, init) {
    const { url, token, fetch } = this.#options;
    const headers = token ? { Authorization: `Bearer ${token}` } : undefined;
    return fetch(`${url}/api/v1${path}`, { signal: AbortSignal.timeout(ANSWER_MS), credentials: token ? "omit" : "same-origin", headers, ...init });
  }
}
