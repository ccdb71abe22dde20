/** The polite question whether to show pop-ups: a card with two buttons, gone for good when answered. */

import { h } from "../dom.js";
import { icon } from "../icons.js";
import { askPermission, permission, watchPermission } from "../notify/permission.js";

/** @param {import("../desk.js").Desk} desk */
export function createAsk({ texts, prefs, toasts, ended }) {
  async function yes() {
    const answer = await askPermission();
    if (answer !== "default") prefs.set("asked", true);
    if (answer === "granted") {
      prefs.set("popups", true);
      toasts.say(texts.ask.granted);
    }
    if (answer === "denied") toasts.say(texts.ask.denied, { seconds: 10 });
  }
  const element = h(
    "aside",
    { class: "card ask", "aria-labelledby": "ask-title" },
    h("span", { class: "ask-symbol" }, icon("bell")),
    h("div", { class: "ask-text" }, h("h2", { id: "ask-title" }, texts.ask.title), h("p", {}, texts.ask.lead)),
    h(
      "div",
      { class: "ask-buttons" },
      h("button", { class: "button is-primary", type: "button", onclick: yes }, texts.ask.yes),
      h("button", { class: "button", type: "button", onclick: () => prefs.set("asked", true) }, texts.ask.no),
    ),
  );
  function show() {
    const hadFocus = element.contains(document.activeElement);
    element.hidden = prefs.get("asked") || permission() !== "default";
    if (hadFocus && element.hidden) document.getElementById("content")?.focus({ preventScroll: true });
  }
  prefs.watch(show, ended);
  void watchPermission(show, ended);
  return element;
}
