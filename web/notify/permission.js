/** The browser's pop-ups: whether they may be shown, and asking for that. */

/** @returns {NotificationPermission | "unsupported"} */
export function permission() {
  if (!("Notification" in globalThis) || !isSecureContext) return "unsupported";
  return Notification.permission;
}

/**
 * Hear of it when the user allows or blocks pop-ups in the browser's own settings.
 * @param {() => void} listener
 * @param {AbortSignal} signal that ends it
 */
export async function watchPermission(listener, signal) {
  try {
    const status = await navigator.permissions.query({ name: "notifications" });
    status.addEventListener("change", listener, { signal });
  } catch {
    // An older browser: the page says so when it is entered the next time.
  }
}

/** Ask the user. Some browsers allow that only at a click. */
export async function askPermission() {
  if (permission() !== "unsupported") await Notification.requestPermission();
  return permission();
}
