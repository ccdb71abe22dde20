/** A field with its label, and beside it what is wrong with its value. */

import { h } from "../dom.js";

/** @typedef {ReturnType<typeof createField>} Field */

/** @param {string} label @param {HTMLInputElement | HTMLTextAreaElement} input */
export function createField(label, input) {
  const error = h("p", { class: "form-error", role: "alert", id: `${input.id}-error` });
  input.setAttribute("aria-describedby", error.id);
  /** @param {string} text */
  function say(text) {
    error.textContent = text;
    input.ariaInvalid = text ? "true" : null;
  }
  input.addEventListener("input", () => say(""));
  return { element: h("div", { class: "field" }, h("label", { for: input.id }, label), input, error), input, say };
}

/**
 * Say beside each field what the hub found wrong with it, in our words: the hub's are for programs.
 * @param {{ errors?: { field: string }[], message: string }} failure
 * @param {Record<string, [Field, string]>} meant by how the hub's name for the field begins
 * @param {(failure: any) => void} otherwise what to do with a failure that is not about these fields
 */
export function explain(failure, meant, otherwise) {
  const found = Object.entries(meant).filter(([name]) => failure.errors?.some(({ field }) => field.startsWith(name)));
  if (!found.length) return otherwise(failure);
  for (const [, [field, text]] of found) field.say(text);
  found[0][1][0].input.focus();
}
