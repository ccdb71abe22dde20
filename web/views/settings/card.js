/** A card of the settings: a heading and what belongs to it. */

import { h } from "../../dom.js";

/**
 * @param {string} id
 * @param {string} title
 * @param {...import("../../dom.js").Child} children
 */
export function card(id, title, ...children) {
  return h("section", { class: "card settings-card", "aria-labelledby": `${id}-title` }, h("h2", { id: `${id}-title`, tabindex: "-1" }, title), ...children);
}
