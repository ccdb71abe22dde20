/**
 * One leader among the user's tabs, by a lock that the browser hands on when its holder closes.
 */

/**
 * @param {string} name
 * @param {() => void} onElected called once, when this tab becomes the leader
 * @param {LockManager | undefined} [locks] absent outside secure contexts; then every tab leads itself
 */
export function joinElection(name, onElected, locks = navigator.locks) {
  let leads = false;
  const ended = new AbortController();
  /** @type {() => void} */
  let release = () => undefined;
  const lead = () => {
    leads = true;
    onElected();
  };
  if (!locks) {
    lead();
  } else {
    const term = new Promise((resolve) => (release = () => resolve(undefined)));
    locks
      .request(name, { signal: ended.signal }, () => {
        lead();
        return term;
      })
      .catch(() => undefined); // Left before it was elected.
  }
  return {
    leads: () => leads,
    leave() {
      leads = false;
      release();
      ended.abort();
    },
  };
}
