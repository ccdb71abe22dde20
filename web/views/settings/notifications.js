/** What the user is told: the hub's two settings, and this browser's own. */

import { fill, h } from "../../dom.js";
import { oneAtATime } from "../../live/readings.js";
import { askPermission, permission, watchPermission } from "../../notify/permission.js";
import { createSwitch } from "../../parts/switch.js";
import { timeAgo, timeIn } from "../../parts/time.js";
import { card } from "./card.js";

/** @param {import("../../desk.js").Desk} desk */
export function createNotificationsCard(desk) {
  const { texts, format, api, live, prefs, toasts, muteAll } = desk;
  const words = texts.settings;

  const realtime = createSwitch({
    id: "realtime",
    label: words.realtime,
    hint: words.realtimeHint,
    checked: desk.settings.realtime_notifications,
    onChange: (on) => setRealtime(on, true),
  });

  let chosen = { on: true, undoable: true };
  /** How often the socket has told the settings. It may do so before a request is answered. */
  let told = 0;

  /** @param {boolean} on @param {boolean} undoable */
  function setRealtime(on, undoable) {
    chosen = { on, undoable };
    return tellHub();
  }

  // Of two requests at once, the hub might take the later one first.
  const tellHub = oneAtATime(async () => {
    const { on, undoable } = chosen;
    const before = told;
    realtime.input.ariaBusy = "true";
    try {
      const changed = await api.changeSettings({ realtime_notifications: on });
      if (told === before) desk.settings = changed;
      const action = { label: texts.undo, run: () => void setRealtime(!on, false) };
      toasts.say(on ? words.realtimeOn : words.realtimeOff, undoable ? { action } : {});
    } catch (error) {
      toasts.fail(/** @type {Error} */ (error));
    }
    realtime.input.ariaBusy = null;
    show();
  });

  const lastUsed = h("p", { class: "hint" });
  const mute = h(
    "div",
    { class: "switch-row" },
    h("div", { class: "switch-text" }, h("p", { class: "switch-label", id: "mute-all-label" }, words.muteAll), h("p", { class: "hint", id: "mute-all-hint" }, words.muteAllHint), lastUsed),
    h("button", { class: "button", type: "button", "aria-label": words.muteAll, "aria-describedby": "mute-all-hint", onclick: muteAll.begin }, words.muteAllAction),
  );

  const popupHint = h("p", { class: "hint", role: "status" });
  const popups = createSwitch({ id: "popups", label: words.popups, hint: words.popupsHint, checked: false, onChange: setPopups });
  popups.element.querySelector(".switch-text")?.append(popupHint);

  /** @param {boolean} on */
  async function setPopups(on) {
    if (on && (await askPermission()) === "granted") prefs.set("popups", true);
    else prefs.set("popups", false);
    show();
  }

  const sound = createSwitch({
    id: "sound",
    label: words.sound,
    hint: words.soundHint,
    checked: false,
    onChange(on) {
      prefs.set("sound", on);
      if (on) desk.chime();
    },
  });

  function show() {
    const { realtime_notifications, muted_all_at } = desk.settings;
    const state = permission();
    realtime.set(realtime_notifications);
    fill(lastUsed, muted_all_at && timeIn(words.mutedAllAt, timeAgo(format, muted_all_at)));
    popups.set(state === "granted" && prefs.get("popups"));
    sound.set(prefs.get("sound"));
    popups.input.disabled = state === "denied" || state === "unsupported";
    popupHint.textContent = state === "denied" ? texts.ask.denied : state === "unsupported" ? texts.ask.unsupported : "";
  }

  live.on("settings", () => {
    told += 1;
    show();
  });
  live.on("muted-all", show);
  prefs.watch(show, desk.ended);
  void watchPermission(show, desk.ended);
  return { element: card("notifications", words.notifications, realtime.element, mute, popups.element, sound.element), enter: show };
}
