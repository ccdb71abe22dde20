/** Drawing what arrives in bursts: once for all of it, before the browser shows the next frame. */

/** A hidden page gets no frames. Its title, lists and counts are kept current all the same. */
const HIDDEN_MS = 100;

/**
 * `run`, but at most once a frame, however often it is asked for.
 * @param {() => void} run
 * @returns {() => void}
 */
export function oncePerFrame(run) {
  let wanted = false;
  function now() {
    if (!wanted) return;
    wanted = false;
    run();
  }
  return () => {
    if (wanted) return;
    wanted = true;
    requestAnimationFrame(now);
    // A page may be hidden at any time: whichever of the two comes first runs it.
    setTimeout(now, HIDDEN_MS);
  };
}
