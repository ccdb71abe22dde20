/**
 * Making elements. A string only ever becomes a text node, so nothing that a hub sends can act as markup.
 */

/** @typedef {Node | string | number | null | undefined | false} Child */
/** @typedef {Record<string, any>} Props attributes; `on…` are listeners, `prop:…` are set as properties, `css:…` as custom properties */

/** @param {Element} element @param {Props} props */
function apply(element, props) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("prop:")) /** @type {any} */ (element)[name.slice(5)] = value;
    else if (name.startsWith("css:")) /** @type {HTMLElement} */ (element).style.setProperty(`--${name.slice(4)}`, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

/**
 * An HTML element with its attributes and children; a child that is null or false is left out.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Props} [props]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  apply(element, props);
  fill(element, ...children);
  return element;
}

/**
 * An SVG element with its attributes and children.
 * @param {string} tag
 * @param {Props} [props]
 * @param {...(Child | Child[])} children
 */
export function svg(tag, props = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  apply(element, props);
  fill(element, ...children);
  return element;
}

/**
 * Replace an element's children.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function fill(element, ...children) {
  element.replaceChildren(
    ...children
      .flat()
      .filter((child) => child !== null && child !== undefined && child !== false)
      .map((child) => (child instanceof Node ? child : String(child))),
  );
}

/**
 * Whether a key pressed now is meant for a field and not for us.
 * @param {KeyboardEvent} event
 */
export function isTyping(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  return Boolean(target.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]"));
}

/**
 * Wrap an asynchronous listener: the button that was pressed is busy until the listener is done, and what
 * the listener throws goes to `onError`.
 * @param {(event: Event) => Promise<unknown>} action
 * @param {(error: any) => void} onError
 */
export function whileBusy(action, onError) {
  return async (/** @type {Event} */ event) => {
    event.preventDefault();
    const source = /** @type {HTMLElement} */ (event.currentTarget);
    const button = /** @type {HTMLElement} */ (source.querySelector("[type=submit]") ?? source);
    if (button.ariaBusy === "true") return;
    button.ariaBusy = "true";
    try {
      await action(event);
    } catch (error) {
      onError(error);
    } finally {
      button.ariaBusy = null;
    }
  };
}

/**
 * Call `close` at a click beside a dialog. The end of a drag that began in it, as to select a text, is none.
 * @param {HTMLDialogElement} dialog
 * @param {() => void} close
 */
export function onBeside(dialog, close) {
  let began = false;
  dialog.addEventListener("pointerdown", ({ target }) => void (began = target === dialog));
  // The second half of a double click may be beside the dialog that the first half opened.
  dialog.addEventListener("click", ({ target, detail }) => began && target === dialog && detail < 2 && close());
}

/**
 * Watch whether an element is pressed. A press and its release make a click only if the element is still there, so
 * the caller draws nothing anew in between.
 * @param {HTMLElement} element
 * @param {AbortSignal} signal that ends it
 * @param {() => void} onReleased called after the click
 * @returns {() => boolean} whether it is pressed now
 */
export function watchPress(element, signal, onReleased) {
  let pressed = false;
  element.addEventListener("pointerdown", () => void (pressed = true));
  // If a press opens a menu, the release goes to the menu.
  for (const type of ["pointerup", "pointercancel", "contextmenu"]) {
    addEventListener(type, () => {
      if (pressed) setTimeout(onReleased);
      pressed = false;
    }, { signal });
  }
  return () => pressed;
}
