/** One's own name and password. */

import { h, whileBusy } from "../../dom.js";
import { card } from "./card.js";

/** @param {import("../../desk.js").Desk} desk */
export function createAccountCard({ texts, api, toasts, me, onRenamed }) {
  const words = texts.settings;
  const name = h("input", { id: "account-name", required: true, maxlength: "200", autocomplete: "name", "prop:value": me.name });
  const email = h("input", { type: "email", hidden: true, autocomplete: "username", "prop:value": me.email, tabindex: "-1" });
  const current = h("input", { type: "password", id: "current-password", required: true, autocomplete: "current-password" });
  const fresh = h("input", { type: "password", id: "new-password", required: true, autocomplete: "new-password" });

  async function rename() {
    const { name: saved } = await api.changeMe({ name: name.value.trim() });
    onRenamed(saved);
    toasts.say(words.nameSaved);
  }

  /** @param {Event} event */
  async function changePassword({ currentTarget }) {
    const form = /** @type {HTMLFormElement} */ (currentTarget);
    await api.changeMe({ password: { current: current.value, new: fresh.value } });
    form.reset();
    toasts.say(words.passwordChanged);
  }

  return {
    element: card(
      "account",
      words.account,
      h(
        "form",
        { class: "inline-form", onsubmit: whileBusy(rename, toasts.fail) },
        h("div", { class: "field" }, h("label", { for: "account-name" }, words.accountName), name),
        h("button", { class: "button", type: "submit" }, words.saveName),
      ),
      h(
        "form",
        { class: "inline-form", onsubmit: whileBusy(changePassword, toasts.fail) },
        email,
        h("div", { class: "field" }, h("label", { for: "current-password" }, words.current), current),
        h("div", { class: "field" }, h("label", { for: "new-password" }, words.fresh), fresh),
        h("button", { class: "button", type: "submit" }, words.changePassword),
      ),
    ),
    enter: undefined,
  };
}
