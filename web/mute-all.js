/**
 * Mute all, with a few seconds to think again. Mute-all cannot be taken back once the hub has it, so the
 * hub is told at the end of those seconds, or at once when the page is left; until then this browser
 * already shows no pop-up.
 */

const SECONDS = 5;

/** @typedef {ReturnType<typeof createMuteAll>} MuteAll */

/**
 * @param {object} parts
 * @param {typeof import("./texts.js").texts} parts.texts
 * @param {import("./api.js").Api} parts.api
 * @param {import("./parts/toast.js").Toasts} parts.toasts
 * @param {BroadcastChannel} parts.channel shared by the user's tabs, any of which may show the pop-ups
 * @param {AbortSignal} parts.ended
 */
export function createMuteAll({ texts, api, toasts, channel, ended }) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let heldUntil = 0;

  /** @param {number} until milliseconds since the epoch */
  function hold(until) {
    heldUntil = until;
    channel.postMessage({ heldUntil: until });
  }

  function begin() {
    if (timer) return;
    timer = setTimeout(finish, SECONDS * 1000);
    hold(Date.now() + (SECONDS + 2) * 1000);
    toasts.say(texts.settings.muteAllSoon(SECONDS), { seconds: SECONDS, action: { label: texts.undo, run: undo } });
  }

  function undo() {
    clearTimeout(timer);
    timer = undefined;
    hold(0);
    toasts.say(texts.settings.muteAllUndone);
  }

  async function finish() {
    clearTimeout(timer);
    timer = undefined;
    try {
      await api.muteAll();
      toasts.say(texts.settings.muteAllDone);
    } catch (error) {
      toasts.fail(/** @type {Error} */ (error));
    } finally {
      hold(0);
    }
  }

  channel.addEventListener("message", ({ data }) => {
    if (data.heldUntil !== undefined) heldUntil = data.heldUntil;
  }, { signal: ended });
  addEventListener("pagehide", () => void (timer && finish()), { signal: ended });
  ended.addEventListener("abort", () => clearTimeout(timer));

  return { begin, held: () => Date.now() < heldUntil };
}
