/** Where one is logged in. */

import { fill, h } from "../../dom.js";
import { timeAgo, timeIn } from "../../parts/time.js";
import { card } from "./card.js";

/** @param {import("../../desk.js").Desk} desk */
export function createSessionsCard({ texts, format, api, toasts }) {
  const words = texts.settings;
  const list = h("ul", { class: "rows", role: "list" });

  /** @param {string} id */
  async function end(id) {
    try {
      await api.endSession(id);
      toasts.say(words.sessionEnded);
    } catch (error) {
      toasts.fail(/** @type {Error} */ (error));
    }
    await load();
  }

  /** @param {{ id: string, current: boolean, device: string | null, created_at: string, last_used_at: string }} session */
  function row({ id, current, device, created_at, last_used_at }) {
    return h(
      "li",
      { class: "row" },
      h(
        "div",
        {},
        h("p", { class: "row-name" }, device ?? words.otherSession, current && h("span", { class: "tag" }, words.thisSession)),
        h(
          "p",
          { class: "hint" },
          words.sessionSince(format.dateTime(created_at)),
          " · ",
          timeIn(words.sessionUsed, timeAgo(format, last_used_at)),
        ),
      ),
      !current && h("button", { class: "button is-danger", type: "button", onclick: () => end(id) }, words.endSession),
    );
  }

  async function load() {
    try {
      fill(list, (await api.sessions()).items.map(row));
    } catch (error) {
      fill(list, h("li", { class: "form-error" }, /** @type {Error} */ (error).message));
    }
  }

  return { element: card("sessions", words.sessions, list), enter: load };
}
