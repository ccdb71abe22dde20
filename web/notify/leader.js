/**
 * One leader among the user's tabs: the tab that has a lock, which the browser hands on when that tab leaves or closes.
 */

/**
 * @param {string} name
 * @param {() => void} onElected called when this tab becomes the leader
 * @param {LockManager | undefined} [locks] absent outside secure contexts; then every tab that has joined leads
 */
export function createElection(name, onElected, locks = navigator.locks) {
  let leads = false;
  /** @type {(() => void) | undefined} */
  let resign;

  return {
    leads: () => leads,
    /** Be a candidate, until `leave()`. Calling it again is harmless. */
    join() {
      if (resign) return;
      const left = new AbortController();
      const term = new Promise((resolve) => left.signal.addEventListener("abort", resolve));
      const lead = () => {
        if (left.signal.aborted) return;
        leads = true;
        onElected();
        return term;
      };
      resign = () => left.abort();
      if (locks) locks.request(name, { signal: left.signal }, lead).catch(() => undefined); // Left before it was elected.
      else void lead();
    },
    leave() {
      leads = false;
      resign?.();
      resign = undefined;
    },
  };
}
