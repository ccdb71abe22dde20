/**
 * Whether somebody is there: a key, a click, a scroll or a moving pointer in any of this browser's tabs.
 * A page that merely happens to be open has not been read.
 */

const EVENTS = ["pointermove", "pointerdown", "keydown", "wheel", "touchstart"];
const TELL_EVERY_MS = 5_000;

/** @typedef {ReturnType<typeof createAttention>} Attention */

/** @param {BroadcastChannel} channel shared by the user's tabs */
export function createAttention(channel) {
  /** @type {Set<() => void>} */
  const listeners = new Set();
  const ended = new AbortController();
  let last = Date.now();
  let told = 0;

  function alive() {
    last = Date.now();
    if (last - told > TELL_EVERY_MS) {
      told = last;
      channel.postMessage({ active: true });
    }
    listeners.forEach((listener) => listener());
  }
  for (const type of EVENTS) addEventListener(type, alive, { passive: true, capture: true, signal: ended.signal });
  channel.addEventListener("message", ({ data }) => {
    if (data.active) last = Date.now();
  }, { signal: ended.signal });

  return {
    /** Whether somebody was there in the last `milliseconds`. @param {number} milliseconds */
    within: (milliseconds) => Date.now() - last < milliseconds,
    alive,
    /** @param {() => void} listener called at every sign of life in this tab */
    onAlive: (listener) => void listeners.add(listener),
    stop: () => ended.abort(),
  };
}
