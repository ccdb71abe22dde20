/**
 * Readings of a list from the REST API while events go on arriving.
 *
 * An answer may or may not hold what happened while it was on its way, so events wait until the list is there;
 * of two readings only the one that began last counts; and where the list could not be read there is nothing for an
 * event to change: whatever is read next has it. A listener that is wrapped in `after` must not mind an event
 * whose effect the list has already.
 */

/** @typedef {ReturnType<typeof createReadings>} Readings */
/** @typedef {(counts: () => boolean) => Promise<void>} Read told at any time whether the reading still counts */

export function createReadings() {
  let number = 0;
  let going = false;
  let failed = false;
  /** @type {(() => void)[]} */
  let waiting = [];

  /** @param {Read} read @param {boolean} whole @param {(error: any) => void} onError */
  async function run(read, whole, onError) {
    const mine = (number += 1);
    going = true;
    try {
      await read(() => mine === number);
      if (mine !== number) return;
      failed &&= !whole;
    } catch (error) {
      if (mine !== number) return;
      failed ||= whole;
      if (failed) waiting = [];
      onError(error);
    }
    going = false;
    // One of them may begin another reading, for which the others wait.
    while (!going && waiting.length) {
      try {
        waiting.shift()?.();
      } catch (error) {
        reportError(error);
      }
    }
  }

  return {
    /** Whether one is on its way. */
    get going() {
      return going;
    },
    /** Whether the list could not be read. */
    get failed() {
      return failed;
    },
    /** Read the list, which makes readings before this void. @param {Read} read @param {(error: any) => void} onError */
    begin: (read, onError) => run(read, true, onError),
    /** Read more of the list, which stands if that fails. @param {Read} read @param {(error: any) => void} onError */
    extend: (read, onError) => run(read, false, onError),
    /** What is on its way, and what waits for it, is of no interest any more. */
    drop() {
      number += 1;
      going = failed = false;
      waiting = [];
    },
    /** @template T @param {(detail: T) => void} listener @returns {(detail: T) => void} the same, after a reading that is on its way */
    after(listener) {
      return (detail) => {
        if (going) waiting.push(() => listener(detail));
        else if (!failed) listener(detail);
      };
    },
  };
}

/**
 * `run`, but never twice at once: however often it is asked for while it runs, it runs once more afterwards. So no
 * answer overtakes another.
 * @param {() => Promise<void>} run
 */
export function oneAtATime(run) {
  let running = false;
  let wanted = false;
  return async () => {
    wanted = true;
    if (running) return;
    running = true;
    try {
      while (wanted) {
        wanted = false;
        await run();
      }
    } finally {
      running = false;
    }
  };
}
