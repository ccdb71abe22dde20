/** Add tracking to a mail by hand: describe it, put the snippet in, send it, and watch its first open. */

import { fill, h, whileBusy } from "../dom.js";
import { icon } from "../icons.js";
import { createField, explain } from "../parts/field.js";
import { createSnippets } from "../parts/snippet.js";
import { timeAgo } from "../parts/time.js";

const MOST_RECIPIENTS = 500;
const ADDRESS = /^[^\s@<>]+@[^\s@<>]+$/;
/** An item of a list. Commas, semicolons and line breaks separate items, but not within quotes or angle brackets. */
const ITEM = /(?:"[^"\n]*"|<[^>\n]*>|[^,;\n])+/g;
/** "Lena Müller <lena@example.com>", as mail programs write it. Two of them with nothing in between do not match. */
const NAMED = /^((?:"[^"]*"|[^"<>])*)<([^<>]*)>$/;

/** @typedef {import("../client.js").Open} Open */
/** @typedef {import("../api.js").Message} Message */
/** @typedef {{ address: string, name?: string }} Recipient */

/** The recipients in a field, in their order, each address once. @param {string} text */
export function parseRecipients(text) {
  /** @type {Map<string, Recipient>} */
  const found = new Map();
  for (const item of text.match(ITEM) ?? []) {
    const [, name = "", named] = NAMED.exec(item.trim()) ?? [];
    const words = item.trim().split(/\s+/);
    // Addresses may have only spaces between them. If a word is no address, all of the item is one wrong address.
    const addresses = named !== undefined ? [named.trim()] : words.every((word) => word.includes("@")) ? words : [item.trim()];
    for (const address of addresses.filter((one) => one || named !== undefined)) {
      if (!found.has(address)) found.set(address, { address, name: name.trim().replace(/^"(.*)"$/, "$1").trim() || undefined });
    }
  }
  return [...found.values()];
}

/** @param {import("../desk.js").Desk} desk */
export function createAdd(desk) {
  const { texts, format, words, api, draft, live, toasts } = desk;
  const say = texts.add;
  const snippet = createSnippets({ texts, toasts });
  /** @type {Message | undefined} */
  let message;
  let isSent = false;
  /** The last request that is not answered yet, and its idempotency key. @type {{ said: string, key: string } | undefined} */
  let asked;
  /** @type {Map<string, Open>} the message's opens that count, of which the first is shown */
  const counted = new Map();

  const subject = h("input", { id: "add-subject", required: true, maxlength: "1000", placeholder: say.subjectHint, autocomplete: "off", "prop:value": draft.subject, oninput: keep });
  const to = h("textarea", { id: "add-to", required: true, rows: "2", placeholder: say.toHint, autocomplete: "off", inputmode: "email", autocapitalize: "off", spellcheck: "false", "prop:value": draft.to, oninput: keep });
  const subjectField = createField(say.subject, subject);
  const toField = createField(say.to, to);
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
    isSent = false;
    counted.clear();
    subjectField.say("");
    toField.say("");
    fill(
      steps,
      step(
        1,
        say.step1,
        h(
          "form",
          { class: "stack", onsubmit: whileBusy(register, explainAll) },
          subjectField.element,
          toField.element,
          h("button", { class: "button is-primary", type: "submit" }, say.create),
        ),
      ),
    );
  }

  function keep() {
    draft.subject = subject.value;
    draft.to = to.value;
  }

  async function register() {
    const recipients = parseRecipients(to.value);
    const bad = recipients.find(({ address }) => !ADDRESS.test(address));
    if (!recipients.length || bad) {
      toField.say(bad ? say.badAddress(bad.address) : say.noAddress);
      return to.focus();
    }
    const described = { subject: subject.value.trim(), recipients, sent_at: null };
    const said = JSON.stringify(described);
    if (asked?.said !== said) asked = { said, key: crypto.getRandomValues(new Uint32Array(4)).join("-") };
    message = await api.register(described, asked.key);
    asked = draft.subject = draft.to = undefined;
    drawSteps(message);
  }

  /** @param {any} failure */
  const explainAll = (failure) =>
    explain(
      failure,
      { subject: [subjectField, say.badSubject], recipients: [toField, say.badTo(format.number(MOST_RECIPIENTS))] },
      toasts.fail,
    );

  /** @param {...number} numbers */
  const markDone = (...numbers) => numbers.forEach((number) => steps.querySelector(`[data-step="${number}"]`)?.classList.add("is-done"));

  /** @param {Message} registered */
  function drawSteps(registered) {
    const sentButton = h("button", { class: "button is-primary", type: "button", onclick: whileBusy(markSent, toasts.fail) }, say.sent);
    fill(
      steps,
      step(1, words.subject(registered), h("p", { class: "hint" }, format.list(registered.recipients.map(words.name)))),
      step(2, say.step2, h("p", { class: "hint" }, say.step2Hint), registered.pixels.map(snippet)),
      step(3, say.step3, h("p", { class: "hint" }, say.step3Hint), h("div", { class: "sent-place" }, sentButton)),
      step(4, say.step4, watch),
    );
    drawWatch();
    sentButton.focus({ preventScroll: true });
  }

  async function markSent() {
    if (!message) return;
    const { id } = message;
    await api.changeMessage(id, { sent_at: api.now() });
    // An event may have said so already, or the next mail may have been begun.
    if (message?.id === id && !isSent) showSent();
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
    if (!message || counted.size) return;
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
  /** @param {Open} open @param {import("../words.js").Brief} brief */
  function drawOpened(open, brief) {
    markDone(4);
    const when = timeAgo(format, open.at);
    // Else all of it would be read aloud again whenever the time changes.
    when.ariaLive = "off";
    fill(
      watch,
      h("p", { class: "opened" }, h("span", { class: "opened-symbol" }, icon("eye")), h("strong", {}, say.opened)),
      h("p", {}, `${[words.who(open, brief), ...words.facts(open)].join(" · ")} · `, when),
      h(
        "div",
        { class: "buttons" },
        h("a", { class: "button is-primary", href: `/messages/${brief.id}`, "data-view": true }, say.history),
        h("button", { class: "button", type: "button", onclick: () => (steps.replaceChildren(), subject.form?.reset(), begin(), subject.focus()) }, say.again),
      ),
    );
  }

  live.on("opened", ({ open, message: brief }) => {
    if (brief.id !== message?.id) return;
    if (!open.counted) {
      const text = open.verdict === "self" ? say.own : `${say.machine} ${open.reasons.join(". ")}.`;
      return drawWatch(h("p", { class: "note" }, text));
    }
    counted.set(open.id, open);
    if (counted.size === 1) drawOpened(open, brief);
  });
  live.on("corrected", ({ open, message: brief }) => {
    if (brief.id !== message?.id) return;
    const [before] = counted.keys();
    if (open.counted) counted.set(open.id, open);
    else counted.delete(open.id);
    const [first] = counted.values();
    if (first?.id === before) return;
    const hadFocus = watch.contains(document.activeElement);
    if (first) {
      drawOpened(first, brief);
    } else {
      steps.querySelector("[data-step='4']")?.classList.remove("is-done");
      drawWatch(h("p", { class: "note", tabindex: "-1" }, words.takenBack(open)));
    }
    if (hadFocus) /** @type {HTMLElement | null} */ (watch.querySelector(".note, .button"))?.focus({ preventScroll: true });
  });

  begin();
  return { element, title: say.title, enter: () => undefined };
}
