/** The speaker of one message. It says whether that is muted, and what pressing it did. */

import { fill, h } from "../dom.js";
import { icon } from "../icons.js";

/**
 * @param {object} parts
 * @param {typeof import("../texts.js").texts} parts.texts
 * @param {boolean} parts.muted
 * @param {(muted: boolean) => Promise<boolean>} parts.onToggle returns what it is then, perhaps by another device's choice
 * @param {() => boolean} parts.realtime whether real-time notifications are on
 * @param {(error: any) => void} parts.onError
 */
export function createSpeaker({ texts, muted, onToggle, realtime, onError }) {
  const status = h("p", { class: "speaker-status", role: "status" });
  const button = h("button", { class: "speaker", type: "button", onclick: toggle });
  let busy = false;

  /** @param {boolean} next @param {{ pressed?: boolean }} [how] */
  function show(next, { pressed = false } = {}) {
    muted = next;
    const label = muted ? texts.speaker.unmute : texts.speaker.mute;
    button.setAttribute("aria-label", label);
    button.title = label;
    button.classList.toggle("is-muted", muted);
    fill(button, icon(muted ? "muted" : "sound"));
    status.textContent = words(pressed);
  }

  /** @param {boolean} pressed */
  function words(pressed) {
    const { on, off, nowOn, nowOff, nowOnUntold, realtimeOff } = texts.speaker;
    if (pressed && muted) return nowOff;
    if (!realtime()) return pressed ? nowOnUntold : realtimeOff;
    if (pressed) return nowOn;
    return muted ? off : on;
  }

  async function toggle() {
    if (busy) return;
    busy = true;
    button.ariaBusy = "true";
    const next = !muted;
    try {
      const now = await onToggle(next);
      show(now, { pressed: now === next });
    } catch (error) {
      onError(error);
    } finally {
      busy = false;
      button.ariaBusy = null;
    }
  }

  show(muted);
  return {
    element: h("div", { class: "speaker-bar" }, status, button),
    toggle,
    /** Show what another tab or device chose. @param {boolean} next */
    set(next) {
      if (next !== muted) show(next);
    },
    /** Real-time notifications were turned on or off. */
    refresh: () => show(muted),
  };
}
