/** Add tracking to a mail by hand: describe it, put the snippet in, send it, and watch its first open. */

import { fill, h, whileBusy } from "../dom.js";
import { icon } from "../icons.js";
import { createSnippets } from "../parts/snippet.js";
import { timeAgo } from "../parts/time.js";

const ADDRESS = /^[^\s@]+@[^\s@]+$/;

/** @typedef {import("../api.js").Message} Message */

/** The addresses in a field, in their order and each once. @param {string} text */
export function parseAddresses(text) {
  return [...new Set(text.split(/[\s,;]+/).filter(Boolean))];
}

/** @param {import("../desk.js").Desk} desk */
export function createAdd(desk) {
  const { texts, format, words, api, live, toasts } = desk;
  const say = texts.add;
  const snippet = createSnippets({ texts, toasts });
  /** @type {Message | undefined} */
  let message;
  let isSent = false;
  let isOpened = false;

  const error = h("p", { class: "form-error", role: "alert", id: "add-error" });
  const subject = h("input", { id: "add-subject", required: true, maxlength: "500", placeholder: say.subjectHint, autocomplete: "off" });
  const to = h("input", { id: "add-to", required: true, placeholder: say.toHint, autocomplete: "off", inputmode: "email", autocapitalize: "off", spellcheck: "false", "aria-describedby": "add-error" });
  const steps = h("ol", { class: "steps", role: "list" });
  const watch = h("div", { class: "watch", role: "status" });
  const element = h(
    "section",
    { class: "view is-narrow", "aria-labelledby": "view-title" },
    h("header", { class: "view-head" }, h("div", {}, h("h1", { id: "view-title" }, say.title), h("p", { class: "lead" }, say.lead))),
    steps,
  );

  /** @param {number} number @param {string} title @param {...(import("../dom.js").Child | import("../dom.js").Child[])} children */
  const step = (number, title, ...children) =>
    h("li", { class: message && number === 1 ? "card step is-done" : "card step", "data-step": number }, h("span", { class: "step-number", "aria-hidden": "true" }, format.number(number)), h("div", { class: "step-body" }, h("h2", {}, title), ...children));

  function begin() {
    message = undefined;
    isSent = isOpened = false;
    error.textContent = "";
    fill(
      steps,
      step(
        1,
        say.step1,
        h(
          "form",
          { class: "stack", onsubmit: whileBusy(register, (failure) => (error.textContent = failure.message)) },
          h("div", { class: "field" }, h("label", { for: "add-subject" }, say.subject), subject),
          h("div", { class: "field" }, h("label", { for: "add-to" }, say.to), to),
          error,
          h("button", { class: "button is-primary", type: "submit" }, say.create),
        ),
      ),
    );
  }

  async function register() {
    const addresses = parseAddresses(to.value);
    const bad = addresses.find((address) => !ADDRESS.test(address));
    if (!addresses.length || bad) throw new Error(bad ? say.badAddress(bad) : say.noAddress);
    message = await api.register({
      subject: subject.value.trim(),
      recipients: addresses.map((address) => ({ address })),
      sent_at: null,
    });
    drawSteps(message);
  }

  /** @param {...number} numbers */
  const markDone = (...numbers) => numbers.forEach((number) => steps.querySelector(`[data-step="${number}"]`)?.classList.add("is-done"));

  /** @param {Message} registered */
  function drawSteps(registered) {
    const sentButton = h("button", { class: "button is-primary", type: "button", onclick: whileBusy(markSent, toasts.fail) }, say.sent);
    fill(
      steps,
      step(1, words.subject(registered), h("p", { class: "hint" }, format.list(registered.recipients.map(({ address }) => address)))),
      step(2, say.step2, h("p", { class: "hint" }, say.step2Hint), registered.pixels.map(snippet)),
      step(3, say.step3, h("p", { class: "hint" }, say.step3Hint), h("div", { class: "sent-place" }, sentButton)),
      step(4, say.step4, watch),
    );
    drawWatch();
    sentButton.focus({ preventScroll: true });
  }

  async function markSent() {
    if (!message) return;
    await api.changeMessage(message.id, { sent_at: new Date().toISOString() });
    showSent();
  }

  function showSent() {
    isSent = true;
    markDone(2, 3);
    const place = /** @type {HTMLElement} */ (steps.querySelector(".sent-place"));
    const hadFocus = place.contains(document.activeElement);
    const done = h("p", { class: "done", tabindex: "-1" }, icon("check"), say.isSent);
    fill(place, done);
    if (hadFocus) done.focus({ preventScroll: true });
    drawWatch();
  }

  /** @param {...import("../dom.js").Child} extra */
  function drawWatch(...extra) {
    if (!message || isOpened) return;
    const [pixel] = message.pixels;
    fill(
      watch,
      h("p", { class: "watching" }, h("span", { class: "pulse", "aria-hidden": "true" }), isSent ? say.waiting : say.waitingDraft),
      ...extra,
      isSent && pixel && h("p", { class: "hint" }, h("a", { href: pixel.url, target: "_blank", rel: "noreferrer" }, say.pretend)),
    );
  }

  live.on("message", ({ message: whole }) => {
    if (whole.id === message?.id && whole.sent_at && !isSent) showSent();
  });
  live.on("opened", ({ open, message: brief }) => {
    if (!message || brief.id !== message.id || isOpened) return;
    if (!open.counted) {
      const text = open.verdict === "self" ? say.own : `${say.machine} ${open.reasons.join(". ")}.`;
      return drawWatch(h("p", { class: "note" }, text));
    }
    isOpened = true;
    markDone(4);
    fill(
      watch,
      h("p", { class: "opened" }, h("span", { class: "opened-symbol" }, icon("eye")), h("strong", {}, say.opened)),
      h("p", {}, `${[words.who(open, brief), ...words.facts(open)].join(" · ")} · `, timeAgo(format, open.at)),
      h(
        "div",
        { class: "buttons" },
        h("a", { class: "button is-primary", href: `/messages/${brief.id}`, "data-view": true }, say.history),
        h("button", { class: "button", type: "button", onclick: () => (steps.replaceChildren(), subject.form?.reset(), begin(), subject.focus()) }, say.again),
      ),
    );
  });

  begin();
  return { element, title: say.title, enter: () => undefined };
}
