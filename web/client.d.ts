/** The types of `client.js`, for TypeScript and for editors, which find this file if it is beside that one. */

export type State = "idle" | "connecting" | "catching-up" | "live" | "waiting" | "refused";
/** `notifications`: what the user wants to be told of; `history`: everything. */
export type Stream = "notifications" | "history";

export interface Reader {
  address: string;
  name: string | null;
}

export interface Place {
  city: string | null;
  region: string | null;
  country: string | null;
  country_code: string | null;
  hidden_by: string | null;
}

export interface Device {
  type: "desktop" | "mobile" | "tablet" | "unknown";
  os: string | null;
  client: string | null;
}

export interface Open {
  id: string;
  message_id: string;
  /** RFC 3339, UTC */
  at: string;
  /** null: one of those who share the pixel */
  recipient: Reader | null;
  verdict: "human" | "proxy" | "prefetch" | "scanner" | "bot" | "self";
  confidence: "high" | "medium" | "low";
  reasons: string[];
  counted: boolean;
  repeat: boolean;
  place: Place;
  device: Device;
  ruleset: string;
}

/** A CloudEvents 1.0 object. */
export interface GlimpseEvent {
  specversion: "1.0";
  id: string;
  /** the hub's address */
  source: string;
  type:
    | "open.recorded"
    | "open.reclassified"
    | "message.registered"
    | "message.updated"
    | "messages.muted"
    | "settings.updated"
    | "notifications.seen";
  /** the message's id, if the event is about one */
  subject?: string;
  time: string;
  /** a whole number, as text */
  sequence: string;
  data: any;
}

export type Cursor = number | string | null | undefined;

/** Either may be asynchronous, as `chrome.storage.local` is. */
export interface CursorStore {
  get: () => Cursor | Promise<Cursor>;
  set: (sequence: number) => unknown;
}

export interface Options {
  /** the hub's address, like `https://hub.example.com` */
  url: string;
  /** an API token; without one the session cookie says who is asking */
  token?: string;
  /** default: `notifications` */
  stream?: Stream;
  /** kept across restarts; default: in memory */
  cursor?: CursorStore;
  /** for tests */
  WebSocket?: typeof globalThis.WebSocket;
  /** for tests */
  fetch?: typeof globalThis.fetch;
  /** from 0 to 1, for tests */
  random?: () => number;
}

/** The longest wait before attempt number `attempt` (from 0), in milliseconds; the wait is a random part of it. */
export function backoffCeiling(attempt: number): number;

/** A cursor that is kept in memory only, starting at `sequence`. */
export function memoryCursor(sequence?: number | null): CursorStore;

/** What the client dispatches, by type. The head of `client.js` says what each means. */
export interface Details {
  event: { event: GlimpseEvent; missed: boolean };
  state: { state: State; retryIn: number | null };
  connected: {
    user: { id: string; email: string; name: string };
    settings: { realtime_notifications: boolean; muted_all_at: string | null };
    sequence: number;
    seen_sequence: number;
    recovered: boolean;
  };
  caughtup: { missed: number };
  reset: { sequence: number };
  refused: { code: number; reason: string };
  problem: { code: string; detail: string };
}

type Listener<Type extends keyof Details> = (told: CustomEvent<Details[Type]>) => unknown;

export class GlimpseClient extends EventTarget {
  constructor(options: Options);
  addEventListener<Type extends keyof Details>(
    type: Type,
    listener: Listener<Type>,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<Type extends keyof Details>(
    type: Type,
    listener: Listener<Type>,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
  get state(): State;
  /** The last sequence that was dispatched, or null. */
  get sequence(): number | null;
  /** Connect, and stay connected until `close()`. Calling it again is harmless. */
  start(): void;
  /** Disconnect, and stay so until `start()`, which goes on from the last event. */
  close(): void;
  /** The network is back, or the machine woke up: try now. A socket that has been silent for too long is replaced. */
  retryNow(): void;
  /** The network is gone: do not wait for the silence to show it. The client goes on trying, as the hub may be on this machine. */
  networkLost(): void;
  /**
   * The sender is looking at this message now: a hit on it from 10 s ago to 10 s from now is their own.
   * @returns whether it was sent on the socket, which tells a refusal as a `problem`, or taken by the REST API
   */
  viewing(messageId: string): Promise<boolean>;
  /**
   * Notifications up to `sequence` are read, on every device. The sequence is kept, and sent again, until the hub has it.
   * This may be called at every event: the hub is told once a second, and always of the last.
   */
  seen(sequence: number): void;
}
