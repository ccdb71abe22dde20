/** The foot of a list that is read page by page: whether there is more, and what to do if a page could not be read. */

import { fill, h } from "../dom.js";
import { pageError } from "./state.js";

/**
 * @param {object} parts
 * @param {typeof import("../texts.js").texts} parts.texts
 * @param {import("../live/live.js").Live} parts.live
 * @param {() => Promise<unknown>} parts.more reads the next page
 */
export function createFoot({ texts, live, more }) {
  const element = h("div", { class: "feed-foot" });
  let failed = false;

  function retry() {
    failed = false;
    return more();
  }

  return {
    element,
    /** Whether the next page could not be read. Then scrolling does not ask for it again: the hub may be away. */
    get failed() {
      return failed;
    },
    /** @param {{ message: string, began?: number }} error */
    fail(error) {
      failed = true;
      const hadFocus = element.contains(document.activeElement);
      fill(element, pageError(texts, error, retry, live));
      if (hadFocus) element.querySelector("button")?.focus({ preventScroll: true });
    },
    /** Say this instead of a failure, or nothing. @param {string} [text] */
    say(text) {
      failed = false;
      fill(element, text && h("p", { class: "hint" }, text));
    },
  };
}
