/** Logging in. */

import { ApiError } from "../api.js";
import { h, whileBusy } from "../dom.js";

/**
 * @param {object} parts
 * @param {typeof import("../texts.js").texts} parts.texts
 * @param {import("../api.js").Api} parts.api
 * @param {() => Promise<unknown>} parts.onLoggedIn
 */
export function createLogin({ texts, api, onLoggedIn }) {
  const error = h("p", { class: "form-error", role: "alert", id: "login-error" });
  // Not of the type "email": a browser refuses or rewrites addresses that the hub takes, as "jörg@exämple.com".
  const email = h("input", { id: "email", name: "email", inputmode: "email", autocomplete: "username", autocapitalize: "off", spellcheck: "false", required: true, "aria-describedby": "login-error" });
  const password = h("input", { type: "password", id: "password", name: "password", autocomplete: "current-password", required: true, "aria-describedby": "login-error" });

  /** @param {any} failure */
  function explain(failure) {
    if (!(failure instanceof ApiError)) throw failure;
    if (failure.status === 401) error.textContent = texts.login.wrong;
    else if (failure.status === 429 && failure.retryAfter) error.textContent = texts.errors.slowDown(failure.retryAfter);
    else error.textContent = failure.message;
    password.select();
  }

  const submit = whileBusy(async () => {
    error.textContent = "";
    await api.logIn(email.value.trim(), password.value);
    await onLoggedIn();
    if (!element.isConnected) return;
    error.textContent = texts.login.notKept;
    password.select();
  }, explain);

  const element = h(
    "main",
    { class: "login", id: "content", tabindex: "-1" },
    h(
      "form",
      { class: "card login-card", onsubmit: submit },
      h("img", { class: "login-mark", src: "/static/icon.svg", alt: "", width: "44", height: "44" }),
      h("h1", {}, texts.name),
      h("p", { class: "lead" }, texts.login.lead),
      h("div", { class: "field" }, h("label", { for: "email" }, texts.login.email), email),
      h("div", { class: "field" }, h("label", { for: "password" }, texts.login.password), password),
      error,
      h("button", { class: "button is-primary is-wide", type: "submit" }, texts.login.submit),
      h("p", { class: "hint" }, texts.login.help),
    ),
  );
  return { element, focus: () => email.focus() };
}
