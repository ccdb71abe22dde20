/** What this browser remembers, the same in all its tabs: theme, sound, shortcuts, pop-ups. */

/** @typedef {{ theme: "system" | "light" | "dark", sound: boolean, shortcuts: boolean, popups: boolean, asked: boolean }} Values */
/** @typedef {ReturnType<typeof createPrefs>} Prefs */

const KEY = "glimpse";

/** @type {Values} */
const DEFAULTS = { theme: "system", sound: false, shortcuts: true, popups: true, asked: false };

/** @param {() => Storage} storage throws where site data is blocked */
export function createPrefs(storage) {
  /** @type {Set<(values: Values) => void>} */
  const listeners = new Set();
  /** @type {Partial<Values>} what could not be stored */
  let unstored = {};
  /** @returns {Values} */
  const read = () => {
    try {
      return { ...DEFAULTS, ...JSON.parse(storage().getItem(KEY) ?? "{}"), ...unstored };
    } catch {
      return { ...DEFAULTS, ...unstored };
    }
  };
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
      // Another tab may have stored something that this one has not been told of yet.
      values = { ...read(), [name]: value };
      try {
        storage().setItem(KEY, JSON.stringify(values));
        unstored = {};
      } catch {
        // Storage is full or forbidden: the choice holds for this tab.
        unstored = { ...unstored, [name]: value };
      }
      tell();
    },
    /**
     * @param {(values: Values) => void} listener called now and at every change
     * @param {AbortSignal} [signal] that ends it
     */
    watch(listener, signal) {
      listeners.add(listener);
      signal?.addEventListener("abort", () => listeners.delete(listener));
      listener(values);
    },
  };
}

/**
 * A channel that joins the tabs of this browser. Where site data is blocked, Firefox allows none, and this one joins nothing.
 * @param {string} name
 * @returns {BroadcastChannel}
 */
export function openChannel(name) {
  try {
    return new BroadcastChannel(name);
  } catch {
    return /** @type {any} */ (new MessageChannel().port1);
  }
}
