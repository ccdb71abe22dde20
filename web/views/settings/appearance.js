/** How this browser shows the dashboard: the theme, and whether single keys are shortcuts. */

import { h } from "../../dom.js";
import { createSwitch } from "../../parts/switch.js";
import { card } from "./card.js";

/** @param {import("../../desk.js").Desk} desk */
export function createAppearanceCard({ texts, prefs, ended }) {
  const words = texts.settings;
  const themes = /** @type {const} */ (["system", "light", "dark"]);
  const segments = h(
    "fieldset",
    { class: "segments" },
    h("legend", { class: "sr-only" }, words.theme),
    themes.map((theme) =>
      h("label", {}, h("input", { type: "radio", name: "theme", value: theme, onchange: () => prefs.set("theme", theme) }), h("span", {}, words[theme])),
    ),
  );
  const shortcuts = createSwitch({
    id: "shortcuts",
    label: words.shortcuts,
    hint: words.shortcutsHint,
    checked: false,
    onChange: (on) => prefs.set("shortcuts", on),
  });
  prefs.watch((chosen) => {
    for (const input of segments.querySelectorAll("input")) input.checked = input.value === chosen.theme;
    shortcuts.set(chosen.shortcuts);
  }, ended);
  const row = h("div", { class: "switch-row" }, h("div", { class: "switch-text" }, h("p", { class: "switch-label" }, words.theme)), segments);
  return { element: card("appearance", words.appearance, row, shortcuts.element), enter: undefined };
}
