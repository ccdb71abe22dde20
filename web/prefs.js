/** What this browser remembers by itself, the same in all its tabs: theme, sound, shortcuts, pop-ups. */

/** @typedef {{ theme: "system" | "light" | "dark", sound: boolean, shortcuts: boolean, popups: boolean, asked: boolean }} Values */
/** @typedef {ReturnType<typeof createPrefs>} Prefs */

const KEY = "glimpse";

/** @type {Values} */
const DEFAULTS = { theme: "system", sound: false, shortcuts: true, popups: true, asked: false };

/** @param {Storage} storage */
export function createPrefs(storage) {
  /** @type {Set<(values: Values) => void>} */
  const listeners = new Set();
  const read = () => {
    try {
      return { ...DEFAULTS, ...JSON.parse(storage.getItem(KEY) ?? "{}") };
    } catch {
      return { ...DEFAULTS };
    }
  };
  /** @type {Values} */
  let values = read();
  const tell = () => listeners.forEach((listener) => listener(values));

  addEventListener("storage", ({ key }) => {
    if (key !== KEY) return;
    values = read();
    tell();
  });

  return {
    /** @template {keyof Values} K @param {K} name @returns {Values[K]} */
    get: (name) => values[name],
    /** @template {keyof Values} K @param {K} name @param {Values[K]} value */
    set(name, value) {
      values = { ...values, [name]: value };
      try {
        storage.setItem(KEY, JSON.stringify(values));
      } catch {
        // Storage is full or forbidden: the choice holds for this tab.
      }
      tell();
    },
    /** @param {(values: Values) => void} listener called now and at every change */
    watch(listener) {
      listeners.add(listener);
      listener(values);
    },
  };
}
