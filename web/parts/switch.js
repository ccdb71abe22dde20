/** A switch with its label and an explanation. */

import { h } from "../dom.js";

/**
 * @param {object} options
 * @param {string} options.label
 * @param {string} [options.hint]
 * @param {boolean} options.checked
 * @param {(checked: boolean) => void | Promise<unknown>} options.onChange
 * @param {string} options.id unique on the page
 */
export function createSwitch({ label, hint, checked, onChange, id }) {
  const input = h("input", {
    type: "checkbox",
    role: "switch",
    class: "switch",
    id,
    "aria-describedby": hint ? `${id}-hint` : null,
    "prop:checked": checked,
    onchange: () => void onChange(input.checked),
  });
  const element = h(
    "div",
    { class: "switch-row" },
    h("div", { class: "switch-text" }, h("label", { for: id }, label), hint && h("p", { class: "hint", id: `${id}-hint` }, hint)),
    input,
  );
  return {
    element,
    input,
    /** @param {boolean} value */
    set: (value) => void (input.checked = value),
  };
}
