/**
 * Readings of a list from the REST API while events go on arriving.
 *
 * An answer may or may not hold what happened while it was on its way, so events wait until the list is
 * there; and of two readings only the one that began last counts. A listener that is wrapped in `after`
 * must not mind an event whose effect the list has already.
 */

/** @typedef {ReturnType<typeof createReadings>} Readings */

export function createReadings() {
  let number = 0;
  let going = false;
  /** @type {(() => void)[]} */
  const waiting = [];

  /** @param {number} mine */
  function end(mine) {
    if (mine !== number) return;
    going = false;
    for (const act of waiting.splice(0)) act();
  }

  return {
    /** Whether one is on its way. */
    get going() {
      return going;
    },
    /**
     * Begin one, which makes those before it void.
     * @param {(counts: () => boolean) => Promise<void>} read told at any time whether it still counts
     */
    async begin(read) {
      const mine = (number += 1);
      going = true;
      try {
        await read(() => mine === number);
      } finally {
        end(mine);
      }
    },
    /** What is on its way, and what waits for it, is of no interest any more. */
    drop() {
      number += 1;
      going = false;
      waiting.length = 0;
    },
    /** @template T @param {(detail: T) => void} listener @returns {(detail: T) => void} the same, after a reading that is on its way */
    after(listener) {
      return (detail) => {
        if (going) waiting.push(() => listener(detail));
        else listener(detail);
      };
    },
    /** Which reading the list is of, to tell whether another has begun since. */
    get number() {
      return number;
    },
  };
}
