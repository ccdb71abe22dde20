/** The browser's pop-ups: whether they may be shown, and asking for that. */

/** @returns {NotificationPermission | "unsupported"} */
export function permission() {
  if (!("Notification" in globalThis) || !isSecureContext) return "unsupported";
  return Notification.permission;
}

/** Ask the user. Some browsers allow that only at a click. */
export async function askPermission() {
  if (permission() !== "unsupported") await Notification.requestPermission();
  return permission();
}
