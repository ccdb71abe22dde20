/**
 * Pop-ups on the screen. Where there are service workers, ours shows them: phones show none from a page,
 * and a click works even when the tab that showed the pop-up is gone. Elsewhere the page shows them itself.
 */

import { permission } from "./permission.js";

/** @typedef {{ path: string, sequence: number, opens: string[] }} About what a pop-up tells of, and where a click leads */
/** @typedef {NotificationOptions & { tag: string, data: About }} Options */
/** @typedef {{ close: () => Promise<boolean> }} Popup `close` says whether it was still there */
/** @typedef {ReturnType<typeof createScreen>} Screen */

/**
 * @param {object} parts
 * @param {(path: string) => void} parts.onClick
 * @param {AbortSignal} parts.ended
 * @param {ServiceWorkerContainer | undefined} [parts.workers] absent outside secure contexts
 */
export function createScreen({ onClick, ended, workers = navigator.serviceWorker }) {
  /** @type {Promise<ServiceWorkerRegistration | undefined> | undefined} */
  let registering;

  /** Our service worker, or undefined where there is none. */
  function registration() {
    registering ??= (async () => (await workers?.register("/sw.js")) && workers.ready)().catch(() => {
      registering = undefined; // The hub may be away just now: the next pop-up tries again.
      return undefined;
    });
    return registering;
  }

  /**
   * @param {string} title
   * @param {Options} options
   * @returns {Promise<Popup["close"]>}
   */
  async function put(title, options) {
    const worker = await registration();
    if (!worker) return putByPage(title, options);
    await worker.showNotification(title, options);
    return async () => {
      const there = await worker.getNotifications({ tag: options.tag });
      there.forEach((popup) => popup.close());
      return there.length > 0;
    };
  }

  /**
   * @param {string} title
   * @param {Options} options
   * @returns {Popup["close"]}
   */
  function putByPage(title, options) {
    const popup = new Notification(title, options);
    let there = true;
    popup.onclose = () => (there = false);
    popup.onclick = () => {
      there = false;
      popup.close();
      onClick(options.data.path);
    };
    return async () => {
      const was = there;
      popup.close();
      return was;
    };
  }

  workers?.addEventListener("message", ({ data }) => void (data?.go && onClick(data.go)), { signal: ended });
  if (permission() === "granted") void registration();

  return {
    /**
     * @param {string} title
     * @param {Options} options
     * @returns {Popup | null} null if it may not be shown
     */
    show(title, options) {
      if (permission() !== "granted") return null;
      const closing = put(title, options).catch(() => async () => false);
      return { close: async () => (await closing)() };
    },
    /** Take away pop-ups that any tab has shown, even one that is closed by now. @param {(about: About) => boolean} gone */
    async withdraw(gone) {
      const worker = await registering;
      for (const popup of (await worker?.getNotifications()) ?? []) if (gone(popup.data)) popup.close();
    },
  };
}
