/** Where the user is logged in. */

import { h, whileBusy } from "../../dom.js";
import { timeAgo, timeIn } from "../../parts/time.js";
import { card } from "./card.js";
import { createRows } from "./rows.js";

/** @param {import("../../desk.js").Desk} desk */
export function createSessionsCard(desk) {
  const { texts, format, api, toasts } = desk;
  const words = texts.settings;
  const rows = createRows({ desk, read: api.sessions, row });

  /** @param {string} id */
  async function end(id) {
    try {
      await api.endSession(id);
      toasts.say(words.sessionEnded);
    } catch (error) {
      toasts.fail(/** @type {Error} */ (error));
    }
    await rows.load();
  }

  /** @param {{ id: string, current: boolean, device: string | null, created_at: string, last_used_at: string }} session */
  function row({ id, current, device, created_at, last_used_at }) {
    return h(
      "li",
      { class: "row", "data-id": id },
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
      !current && h("button", { class: "button is-danger", type: "button", onclick: whileBusy(() => end(id), toasts.fail) }, words.endSession),
    );
  }

  return { element: card("sessions", words.sessions, rows.element), enter: rows.load };
}
