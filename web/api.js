/**
 * The REST API, as the dashboard calls it. Every method returns the parsed body, or throws an `ApiError`
 * whose message can be shown to the user as it is. One that its caller aborted throws an `AbortError`.
 */

import { texts } from "./texts.js";

const PATIENCE_MS = 20_000;

/** A request that failed. `status` is 0 if the hub could not be reached. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} message
   * @param {number} began when the request was sent, by `performance.now()`
   * @param {{ field: string, detail: string }[]} [errors] what was wrong with which field
   * @param {number} [retryAfter] seconds
   */
  constructor(status, message, began, errors = [], retryAfter = 0) {
    super(message);
    this.status = status;
    this.began = began;
    this.errors = errors;
    this.retryAfter = retryAfter;
  }
}

/** @typedef {ReturnType<typeof createApi>} Api */
/** @typedef {import("./client.js").Open} Open */
/**
 * @typedef {object} Message
 * @property {string} id
 * @property {string} subject
 * @property {{ address: string, name: string | null, opens: number | null, first_opened_at: string | null, last_opened_at: string | null }[]} recipients
 * @property {string | null} template
 * @property {string} created_at
 * @property {string | null} sent_at
 * @property {boolean} tracked
 * @property {string | null} untracked_reason
 * @property {boolean} muted
 * @property {number} opens
 * @property {number} hits
 * @property {string | null} first_opened_at
 * @property {string | null} last_opened_at
 * @property {{ system: string, record_id: string, url: string | null } | null} crm
 * @property {{ recipient: string | null, url: string, html: string }[]} pixels
 */
/** @typedef {{ id: string, email: string, name: string, role: string, settings: { realtime_notifications: boolean, muted_all_at?: string | null }, sequence: number, seen_sequence: number, unseen: number }} Me */
/** @template T @typedef {{ items: T[], next: string | null }} Page */

/** @param {Record<string, string | number | boolean | null | undefined>} query */
function queryString(query) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : "";
}

/** A signal that ends a request which takes too long, as on a dead connection. @param {AbortSignal | null} [signal] may end it sooner */
function patient(signal) {
  const late = AbortSignal.timeout(PATIENCE_MS);
  return signal && AbortSignal.any ? AbortSignal.any([signal, late]) : (signal ?? late);
}

/** @param {Response} response @param {number} began @returns {Promise<ApiError>} */
async function problem(response, began) {
  // A proxy's own page is no JSON, and what it answers in JSON need not be an object.
  const body = (await response.json().catch(() => null)) ?? {};
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  return new ApiError(response.status, body.detail || body.title || texts.errors.server, began, body.errors, retryAfter);
}

/**
 * @param {object} options
 * @param {() => void} options.onSignedOut called when the session has ended
 */
export function createApi({ onSignedOut }) {
  /** How many sessions have begun here: a 401 for a request of an earlier session does not end the present one. */
  let sessions = 0;
  /** How far the hub's clock is ahead of ours, in milliseconds. Rather too little: an answer's date is in whole seconds, and from before its arrival. */
  let ahead = 0;

  /** @param {string} method @param {string} path @param {unknown} [body] @param {RequestInit} [init] */
  async function call(method, path, body, init) {
    const session = sessions;
    const began = performance.now();
    let response;
    try {
      response = await fetch(`/api/v1${path}`, {
        method,
        body: body === undefined ? undefined : JSON.stringify(body),
        ...init,
        headers: { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...init?.headers },
        signal: patient(init?.signal),
      });
      const sent = Date.parse(response.headers.get("Date") ?? "");
      if (sent) ahead = sent - Date.now();
      if (response.ok) return response.status === 204 ? null : await response.json();
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw new ApiError(0, texts.errors.unreachable, began);
    }
    if (response.status === 401 && path !== "/session" && session === sessions) onSignedOut();
    throw await problem(response, began);
  }

  const at = encodeURIComponent;
  return {
    /** Now, by the hub's clock, as all times are. A little early, and never in the future. */
    now: () => new Date(Date.now() + ahead).toISOString(),
    /** @param {string} email @param {string} password */
    async logIn(email, password) {
      await call("POST", "/session", { email, password });
      sessions += 1;
    },
    logOut: () => call("DELETE", "/session"),
    /** @returns {Promise<Me>} */
    me: () => call("GET", "/me"),
    /** @param {{ name?: string, password?: { current: string, new: string } }} change */
    changeMe: (change) => call("PATCH", "/me", change),
    /** @param {{ realtime_notifications: boolean }} settings */
    changeSettings: (settings) => call("PATCH", "/settings", settings),
    /**
     * @param {object} message
     * @param {string} key sent again with the same message when no answer came, so that it is registered once
     * @returns {Promise<Message>}
     */
    register: (message, key) => call("POST", "/messages", message, { headers: { "Idempotency-Key": key } }),
    /** @param {Record<string, any>} query @param {AbortSignal} [signal] @returns {Promise<Page<Message>>} */
    messages: (query, signal) => call("GET", `/messages${queryString(query)}`, undefined, { signal }),
    /** @param {string} id @returns {Promise<Message>} */
    message: (id) => call("GET", `/messages/${at(id)}`),
    /** @param {string} id @param {{ muted?: boolean, sent_at?: string }} change @returns {Promise<Message>} */
    changeMessage: (id, change) => call("PATCH", `/messages/${at(id)}`, change),
    /** The request reaches the hub even if the page is being left. @returns {Promise<{ muted_all_at: string }>} */
    muteAll: () => call("POST", "/messages/mute-all", undefined, { keepalive: true }),
    /** @param {string} id @param {Record<string, any>} query @returns {Promise<Page<Open>>} */
    messageOpens: (id, query) => call("GET", `/messages/${at(id)}/opens${queryString(query)}`),
    /** @param {Record<string, any>} query @returns {Promise<Page<Open>>} */
    opens: (query) => call("GET", `/opens${queryString(query)}`),
    tokens: () => call("GET", "/tokens"),
    /** @param {string} name */
    createToken: (name) => call("POST", "/tokens", { name }),
    /** @param {string} id */
    revokeToken: (id) => call("DELETE", `/tokens/${at(id)}`),
    sessions: () => call("GET", "/sessions"),
    /** @param {string} id */
    endSession: (id) => call("DELETE", `/sessions/${at(id)}`),
  };
}
