/** Drawing what arrives in bursts: once for all of it, before the browser shows the next frame. */

/** A page that is hidden is shown in no frame; its title, its lists and its counts are kept all the same. */
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
    // Which of them comes is not known: a page may be hidden at any time.
    setTimeout(now, HIDDEN_MS);
  };
}
