/** What a pop-up says. */

const NAMED = 3;

/**
 * @param {typeof import("../texts.js").texts} texts
 * @param {import("../words.js").Words} words
 */
export function createPopupTexts(texts, words) {
  /** @param {import("./popups.js").Item[]} items */
  return function describe(items) {
    const [{ open, message }] = items;
    if (items.length === 1) {
      return {
        title: texts.popup.title(words.who(open, message)),
        body: `${words.subject(message)}\n${words.facts(open).join(" · ")}`,
        path: `/messages/${message.id}`,
      };
    }
    const subjects = [...new Set(items.map((item) => words.subject(item.message)))];
    const messages = new Set(items.map((item) => item.message.id));
    const missed = items.every((item) => item.missed);
    return {
      title: missed ? texts.popup.missedTitle(items.length) : texts.popup.burstTitle(items.length),
      body: subjects.slice(0, NAMED).join("\n") + (subjects.length > NAMED ? "\n…" : ""),
      path: messages.size === 1 ? `/messages/${message.id}` : "/activity",
    };
  };
}
