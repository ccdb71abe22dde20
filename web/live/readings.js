/**
 * Readings of a list from the REST API while events go on arriving.
 *
 * An answer may or may not hold what happened while it was on its way, so events wait until the list is there. Of two
 * readings only the one that began last counts. If the list could not be read, events are dropped: the next reading
 * has their effect. A listener that is wrapped in `after` must cope with an event whose effect the list has already.
 */

/** @typedef {ReturnType<typeof createReadings>} Readings */
/** @typedef {(counts: () => boolean) => Promise<void>} Read `counts` says at any time whether the reading still counts */

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
    // A listener may begin another reading, and the others then wait for that.
    while (!going && waiting.length) {
      try {
        waiting.shift()?.();
      } catch (error) {
        reportError(error);
      }
    }
  }

  return {
    /** Whether a reading is on its way. */
    get going() {
      return going;
    },
    /** Whether the list could not be read. */
    get failed() {
      return failed;
    },
    /** Read the list. Earlier readings do not count any more. @param {Read} read @param {(error: any) => void} onError */
    begin: (read, onError) => run(read, true, onError),
    /** Read more of the list. If that fails, the list stands as it is. @param {Read} read @param {(error: any) => void} onError */
    extend: (read, onError) => run(read, false, onError),
    /** Drop the reading that is on its way, and the events that wait for it. */
    drop() {
      number += 1;
      going = failed = false;
      waiting = [];
    },
    /** @template T @param {(detail: T) => void} listener @returns {(detail: T) => void} calls the listener after a reading that is on its way */
    after(listener) {
      return (detail) => {
        if (going) waiting.push(() => listener(detail));
        else if (!failed) listener(detail);
      };
    },
  };
}

/**
 * `run`, but never twice at once: however often it is called while it runs, it runs once more afterwards. So no
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
