/**
 * Mute all, with a few seconds to think again. Mute-all cannot be taken back once the hub has it, so the
 * hub is told at the end of those seconds, or at once when the page is hidden or left, or the user logs out.
 * If the session ends otherwise, nothing is muted, and the user is told so.
 * Until then this browser holds back its pop-ups: if mute-all is undone they come late, otherwise not at all.
 */

const SECONDS = 5;
/** How much longer pop-ups are held back, at most, while the hub is being told. */
const TELLING_MS = 5_000;

/** @typedef {ReturnType<typeof createMuteAll>} MuteAll */

/**
 * @param {object} parts
 * @param {typeof import("./texts.js").texts} parts.texts
 * @param {import("./api.js").Api} parts.api
 * @param {import("./live/live.js").Live} parts.live
 * @param {import("./parts/toast.js").Toasts} parts.toasts
 * @param {BroadcastChannel} parts.channel shared by the user's tabs, any of which may show the pop-ups
 * @param {AbortSignal} parts.ended
 */
export function createMuteAll({ texts, api, live, toasts, channel, ended }) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** Settled once the hub has answered, even with a refusal. */
  let telling = Promise.resolve();
  let heldUntil = 0;

  /** @param {number} until milliseconds since the epoch */
  function hold(until) {
    heldUntil = until;
    channel.postMessage({ heldUntil: until });
  }

  function begin() {
    if (timer) return;
    timer = setTimeout(finish, SECONDS * 1000);
    hold(Date.now() + SECONDS * 1000 + TELLING_MS);
    toasts.say(texts.settings.muteAllSoon(SECONDS), { seconds: SECONDS, action: { label: texts.undo, run: undo } });
  }

  function undo() {
    // A toast stays while it is pointed at, so the time to undo may be over.
    if (!timer) return;
    clearTimeout(timer);
    timer = undefined;
    hold(0);
    toasts.say(texts.settings.muteAllUndone);
  }

  /** Tell the hub now if it is still to be told, and wait for its answer. Called twice, this tells it once. */
  function finish() {
    if (timer) telling = tell();
    return telling;
  }

  async function tell() {
    clearTimeout(timer);
    timer = undefined;
    try {
      await api.muteAll();
      toasts.say(texts.settings.muteAllDone);
    } catch (error) {
      // If the session is over, so is the channel.
      if (!ended.aborted) hold(0);
      toasts.fail(/** @type {Error} */ (error));
    }
  }

  channel.addEventListener("message", ({ data }) => {
    if (data.heldUntil !== undefined) heldUntil = data.heldUntil;
  }, { signal: ended });
  live.on("muted-all", () => (heldUntil = 0));
  // A phone may end a hidden page without another event.
  document.addEventListener("visibilitychange", () => void (document.hidden && finish()), { signal: ended });
  addEventListener("pagehide", () => void finish(), { signal: ended });
  ended.addEventListener("abort", undo);

  return { begin, finish, held: () => Date.now() < heldUntil };
}
