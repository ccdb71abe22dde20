/** The frame around every view: the brand, the navigation, the connection's sign and who is logged in. */

import { h } from "../dom.js";
import { icon } from "../icons.js";

/**
 * @param {object} parts
 * @param {typeof import("../texts.js").texts} parts.texts
 * @param {import("../format.js").Format} parts.format
 * @param {HTMLElement} parts.connection
 * @param {import("../api.js").Me} parts.me
 * @param {() => void} parts.onLogOut
 * @param {() => void} parts.onShortcuts
 */
export function createShell({ texts, format, connection, me, onLogOut, onShortcuts }) {
  const count = h("span", { class: "nav-count", hidden: true });
  const name = h("span", { class: "who-name" }, me.name || me.email);
  /** @type {Record<string, HTMLAnchorElement>} */
  const links = {};
  /** @param {string} view @param {Parameters<typeof icon>[0]} symbol @param {string} label @param {Node} [extra] */
  function link(view, symbol, label, extra) {
    links[view] = h("a", { class: "nav-link", href: `/${view}`, "data-view": true }, icon(symbol), h("span", { class: "nav-label" }, label), extra);
    return h("li", {}, links[view]);
  }
  const main = h("main", { id: "content", class: "main", tabindex: "-1" });
  const element = h(
    "div",
    { class: "shell" },
    h(
      "header",
      { class: "side" },
      h("a", { class: "brand", href: "/activity", "data-view": true }, h("img", { src: "/static/icon.svg", alt: "", width: "28", height: "28" }), h("span", {}, texts.name)),
      h(
        "nav",
        { class: "nav", "aria-label": texts.nav.label },
        h(
          "ul",
          { role: "list" },
          link("activity", "activity", texts.nav.activity, count),
          link("messages", "mail", texts.nav.messages),
          link("try", "add", texts.nav.add),
          link("settings", "settings", texts.nav.settings),
        ),
      ),
      h(
        "div",
        { class: "side-foot" },
        connection,
        h(
          "div",
          { class: "who" },
          h("span", { class: "who-text" }, name, h("span", { class: "who-email" }, me.email)),
          h("button", { class: "icon-button is-keyboard", type: "button", "aria-label": texts.nav.shortcuts, title: `${texts.nav.shortcuts} (?)`, onclick: onShortcuts }, icon("keyboard")),
          h("button", { class: "icon-button", type: "button", "aria-label": texts.nav.logOut, title: texts.nav.logOut, onclick: onLogOut }, icon("out")),
        ),
      ),
    ),
    main,
  );

  return {
    element,
    main,
    /** @param {string} view */
    mark(view) {
      for (const [other, anchor] of Object.entries(links)) {
        if (other === view) anchor.setAttribute("aria-current", "page");
        else anchor.removeAttribute("aria-current");
      }
    },
    /** @param {number} unseen */
    count(unseen) {
      count.hidden = !unseen;
      count.replaceChildren(h("span", { "aria-hidden": "true" }, format.short(unseen)), h("span", { class: "sr-only" }, texts.nav.unseen(unseen)));
    },
    /** @param {string} next */
    rename: (next) => void (name.textContent = next),
  };
}
