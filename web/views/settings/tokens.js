/** API tokens: made here, shown once, revoked here. */

import { fill, h, whileBusy } from "../../dom.js";
import { copyButton } from "../../parts/copy.js";
import { createField, explain } from "../../parts/field.js";
import { timeAgo, timeIn } from "../../parts/time.js";
import { card } from "./card.js";
import { createRows } from "./rows.js";

/** @param {import("../../desk.js").Desk} desk */
export function createTokensCard(desk) {
  const { texts, format, api, toasts } = desk;
  const words = texts.settings;
  const rows = createRows({ desk, read: api.tokens, row, none: words.tokensNone });
  const made = h("div", { class: "made" });
  const name = h("input", { id: "token-name", required: true, maxlength: "100", placeholder: words.tokenNameHint, autocomplete: "off" });
  const field = createField(words.tokenName, name);
  const form = h(
    "form",
    { class: "inline-form", onsubmit: whileBusy(create, (failure) => explain(failure, { name: [field, words.badTokenName] }, toasts.fail)) },
    field.element,
    h("button", { class: "button", type: "submit" }, words.tokenCreate),
  );

  async function create() {
    const { token } = await api.createToken(name.value.trim());
    form.reset();
    const secret = h("input", { class: "secret", readonly: true, "aria-label": words.tokenLabel, "prop:value": token });
    const done = h("button", { class: "button", type: "button", onclick: () => (made.replaceChildren(), name.focus()) }, words.tokenDone);
    fill(
      made,
      h("p", {}, words.tokenOnce),
      h("div", { class: "inline-form" }, secret, copyButton({ texts, label: texts.copy, toasts, copy: () => navigator.clipboard.writeText(token) }), done),
    );
    secret.select();
    await rows.load();
  }

  /** @param {{ id: string, name: string, created_at: string, last_used_at: string | null }} token */
  function row({ id, name: label, created_at, last_used_at }) {
    const revoke = h("button", { class: "button is-danger", type: "button", onclick: whileBusy(press, toasts.fail), onblur: calm });
    /** The second press revokes. When the focus leaves the button, the first press is forgotten. */
    async function press() {
      if (revoke.dataset.sure) return remove();
      // Safari does not focus a button that is clicked, and only a button with focus can lose it.
      revoke.focus();
      revoke.dataset.sure = "true";
      revoke.textContent = words.revokeSure;
      revoke.removeAttribute("aria-label");
    }
    function calm() {
      delete revoke.dataset.sure;
      revoke.textContent = words.revoke;
      revoke.ariaLabel = words.revokeLabel(label);
    }
    async function remove() {
      try {
        await api.revokeToken(id);
        toasts.say(words.revoked(label));
      } catch (error) {
        toasts.fail(/** @type {Error} */ (error));
      }
      await rows.load();
    }
    calm();
    return h(
      "li",
      { class: "row", "data-id": id },
      h(
        "div",
        {},
        h("p", { class: "row-name" }, label),
        h("p", { class: "hint" }, last_used_at ? timeIn(words.tokenUsed, timeAgo(format, last_used_at)) : words.tokenUnused, " · ", words.created(format.date(created_at))),
      ),
      revoke,
    );
  }

  return { element: card("tokens", words.tokens, h("p", { class: "hint" }, words.tokensLead), rows.element, made, form), enter: rows.load };
}
