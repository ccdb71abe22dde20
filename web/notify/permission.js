/** The browser's pop-ups: whether they may be shown, asking for it, and showing one. */

/** @returns {NotificationPermission | "unsupported"} */
export function permission() {
  if (!("Notification" in globalThis) || !isSecureContext) return "unsupported";
  return Notification.permission;
}

/** Ask. To be called only from a click. */
export async function askPermission() {
  if (permission() !== "unsupported") await Notification.requestPermission();
  return permission();
}

/**
 * @param {string} title
 * @param {NotificationOptions} options
 * @returns {Notification | null} null where it may not or cannot be shown
 */
export function showPopup(title, options) {
  if (permission() !== "granted") return null;
  try {
    return new Notification(title, options);
  } catch {
    return null; // Some phones only let a service worker show them.
  }
}
