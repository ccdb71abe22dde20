/**
 * A list of any length that scrolls with the page. Only the rows in sight are in the document, so a
 * hundred thousand rows cost what forty do. All rows have one height, which the stylesheet sets.
 */

import { h, watchPress } from "../dom.js";
import { oncePerFrame } from "../live/frames.js";

const OVERSCAN = 8;

/**
 * Give an element what a newer one has. It stays in the document, as it may have the focus.
 * @param {Element} element
 * @param {Element} newer
 */
function renew(element, newer) {
  for (const { name, value } of newer.attributes) element.setAttribute(name, value);
  element.replaceChildren(...newer.childNodes);
}

/**
 * @template T
 * @param {object} options
 * @param {string} options.label
 * @param {(item: T) => string} options.key
 * @param {(item: T) => HTMLElement} options.render its element always has the same attributes, and listeners only on what is in it
 * @param {() => void} options.onNearEnd called when the last rows come in sight
 * @param {AbortSignal} options.signal that ends it
 */
export function createVirtualList({ label, key, render, onNearEnd, signal }) {
  const element = h("ul", { class: "virtual", "aria-label": label, role: "list" });
  /** @type {T[]} */
  let items = [];
  /** @type {Map<string, HTMLLIElement>} */
  const rows = new Map();
  /** @type {Map<string, T>} items to be drawn anew */
  const stale = new Map();
  let pending = 0;
  /** Whether the page is being printed: then all rows are drawn. */
  let isPrinted = false;

  const rowHeight = () => parseFloat(getComputedStyle(element).getPropertyValue("--row-height")) || 64;

  /** The first and the last row to be shown. */
  function span() {
    const height = rowHeight();
    if (isPrinted) return { first: 0, last: items.length, height };
    const above = -element.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(above / height) - OVERSCAN);
    const last = Math.min(items.length, Math.ceil((above + innerHeight) / height) + OVERSCAN);
    return { first, last, height };
  }

  function draw() {
    pending = 0;
    if (!element.isConnected) return;
    const { first, last, height } = span();
    element.style.height = `${items.length * height}px`;
    const wanted = new Set();
    for (let index = first; index < last; index += 1) {
      const item = items[index];
      const id = key(item);
      wanted.add(id);
      let row = rows.get(id);
      if (!row) {
        row = h("li", { class: "virtual-row" }, render(item));
        rows.set(id, row);
      }
      row.style.transform = `translateY(${index * height}px)`;
      row.ariaPosInSet = String(index + 1);
      row.ariaSetSize = String(items.length);
      row.dataset.index = String(index);
    }
    for (const [id, row] of rows) {
      if (wanted.has(id) || row.contains(document.activeElement)) continue;
      row.remove();
      rows.delete(id);
    }
    for (const row of rows.values()) if (!row.isConnected) insert(row);
    if (last > items.length - OVERSCAN * 2 && !isPrinted) onNearEnd();
  }

  /** Insert a row where it belongs: Tab and screen readers go by the order in the document. @param {HTMLElement} row */
  function insert(row) {
    const index = Number(row.dataset.index);
    const after = [...element.children].find((child) => Number(/** @type {HTMLElement} */ (child).dataset.index) > index);
    element.insertBefore(row, after ?? null);
  }

  const drawStale = oncePerFrame(() => {
    if (isPressed()) return;
    for (const [id, item] of stale) {
      const drawn = rows.get(id)?.firstElementChild;
      if (drawn) renew(drawn, render(item));
    }
    stale.clear();
  });
  const isPressed = watchPress(element, signal, drawStale);

  const schedule = () => {
    pending ||= requestAnimationFrame(draw);
  };
  addEventListener("scroll", schedule, { passive: true, signal });
  addEventListener("resize", schedule, { signal });
  for (const type of ["beforeprint", "afterprint"]) {
    addEventListener(type, () => {
      isPrinted = type === "beforeprint";
      draw();
    }, { signal });
  }

  return {
    element,
    draw,
    /** @param {T[]} next */
    set(next) {
      items = next;
      draw();
    },
    /** Draw one item anew, if it is in sight. @param {T} item */
    refresh(item) {
      stale.set(key(item), item);
      drawStale();
    },
    /** Move the focus `step` rows on, scrolling as needed. @param {number} step */
    move(step) {
      const from = document.activeElement?.closest(".virtual-row");
      const index = from && element.contains(from) ? Number(/** @type {HTMLElement} */ (from).dataset.index) + step : 0;
      if (index < 0 || index >= items.length) return;
      const height = rowHeight();
      const top = element.getBoundingClientRect().top + index * height;
      const margin = 120;
      if (top < margin) scrollBy({ top: top - margin });
      else if (top + height > innerHeight - margin) scrollBy({ top: top + height - innerHeight + margin });
      draw();
      /** @type {HTMLElement | null | undefined} */ (rows.get(key(items[index]))?.querySelector("a"))?.focus({ preventScroll: true });
    },
    /** Remove the rows, so that all are drawn anew. */
    clear() {
      for (const row of rows.values()) row.remove();
      rows.clear();
      stale.clear();
    },
  };
}
