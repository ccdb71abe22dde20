/** Trying again what failed: after a pause that grows, and at once when the network is back. */

import { backoffCeiling } from "../client.js";

/** @param {() => void} run @param {AbortSignal} [signal] that ends it */
export function createRetry(run, signal) {
  let tries = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  function now() {
    clearTimeout(timer);
    timer = undefined;
    run();
  }
  addEventListener("online", () => timer !== undefined && now(), { signal });
  signal?.addEventListener("abort", () => clearTimeout(timer));

  return {
    /** Whether it is to be tried again after a pause. */
    get waits() {
      return timer !== undefined;
    },
    /** @param {number} least seconds that the hub asks for */
    later(least) {
      clearTimeout(timer);
      // Random, so that not all pages try at once after a restart.
      tries += 1;
      const pause = backoffCeiling(tries) * (0.5 + Math.random() / 2);
      timer = setTimeout(now, Math.max(least * 1_000, pause));
    },
    stop() {
      clearTimeout(timer);
      timer = undefined;
      tries = 0;
    },
  };
}
