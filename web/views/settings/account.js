/** The user's own name and password. */

import { h, whileBusy } from "../../dom.js";
import { createField, explain } from "../../parts/field.js";
import { card } from "./card.js";

/**
 * @param {import("../../desk.js").Desk} desk
 * @param {() => void} onPasswordChanged
 */
export function createAccountCard({ texts, api, toasts, me, onRenamed }, onPasswordChanged) {
  const words = texts.settings;
  const name = createField(words.accountName, h("input", { id: "account-name", required: true, maxlength: "200", autocomplete: "name", "prop:value": me.name }));
  const email = h("input", { hidden: true, autocomplete: "username", "prop:value": me.email, tabindex: "-1" });
  const current = createField(words.current, h("input", { type: "password", id: "current-password", required: true, autocomplete: "current-password" }));
  // No greatest length: a browser cuts off what is pasted beyond it, and the rest would be missing from the password.
  const fresh = createField(words.fresh, h("input", { type: "password", id: "new-password", required: true, minlength: "8", autocomplete: "new-password" }));

  async function rename() {
    const { name: saved } = await api.changeMe({ name: name.input.value.trim() });
    onRenamed(saved);
    toasts.say(words.nameSaved);
  }

  /** @param {Event} event */
  async function changePassword({ currentTarget }) {
    const form = /** @type {HTMLFormElement} */ (currentTarget);
    await api.changeMe({ password: { current: current.input.value, new: fresh.input.value } });
    form.reset();
    toasts.say(words.passwordChanged);
    onPasswordChanged();
  }

  /** @param {any} failure */
  const say = (failure) =>
    explain(
      failure,
      { name: [name, words.badName], "password.current": [current, words.badCurrent], "password.new": [fresh, words.badFresh] },
      toasts.fail,
    );

  return {
    element: card(
      "account",
      words.account,
      h(
        "form",
        { class: "inline-form", onsubmit: whileBusy(rename, say) },
        name.element,
        h("button", { class: "button", type: "submit" }, words.saveName),
      ),
      h(
        "form",
        { class: "inline-form", onsubmit: whileBusy(changePassword, say) },
        email,
        current.element,
        fresh.element,
        h("button", { class: "button", type: "submit" }, words.changePassword),
      ),
    ),
    enter: undefined,
  };
}
