/** Settings: one card for each subject, each in its own file. */

import { h } from "../dom.js";
import { createAccountCard } from "./settings/account.js";
import { createAppearanceCard } from "./settings/appearance.js";
import { createNotificationsCard } from "./settings/notifications.js";
import { createSessionsCard } from "./settings/sessions.js";
import { createTokensCard } from "./settings/tokens.js";

/** @param {import("../desk.js").Desk} desk */
export function createSettings(desk) {
  const { texts } = desk;
  const sessions = createSessionsCard(desk);
  // A new password ends the other sessions.
  const account = createAccountCard(desk, sessions.enter);
  const cards = [createNotificationsCard(desk), createAppearanceCard(desk), createTokensCard(desk), sessions, account];
  const element = h(
    "section",
    { class: "view is-narrow", "aria-labelledby": "view-title" },
    h("header", { class: "view-head" }, h("div", {}, h("h1", { id: "view-title" }, texts.settings.title), h("p", { class: "lead" }, texts.settings.lead))),
    cards.map((card) => card.element),
    h("p", { class: "hint" }, h("a", { href: "/docs" }, texts.settings.docs)),
  );
  const enter = () => cards.forEach((card) => card.enter?.());
  return {
    element,
    title: texts.settings.title,
    enter,
    redraw: enter,
  };
}
