/**
 * The service worker. It keeps nothing and answers no request: it is here because phones show a page's
 * pop-ups only through one, and because a pop-up may outlive the tab that showed it.
 */

/** TypeScript takes a script for a page's; this one is a service worker's. */
const worker = /** @type {any} */ (self);
/** Pages of ours that show no histories. */
const ELSEWHERE = /^\/(docs|login|api|static)\b/;

/** Lead the user to `path`: in a tab that is there, the one in front first, else in a new one. @param {string} path */
async function lead(path) {
  /** @type {any[]} */
  const all = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  const tabs = all.filter(({ url }) => !ELSEWHERE.test(new URL(url).pathname));
  const tab = tabs.find(({ focused }) => focused) ?? tabs.find(({ visibilityState }) => visibilityState === "visible") ?? tabs[0];
  if (!tab) return worker.clients.openWindow(path);
  tab.postMessage({ go: path });
  return tab.focus();
}

worker.addEventListener("install", () => worker.skipWaiting());
worker.addEventListener("notificationclick", (/** @type {any} */ event) => {
  event.notification.close();
  event.waitUntil(lead(event.notification.data.path));
});
