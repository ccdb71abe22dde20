/**
 * The service worker. It caches nothing and answers no request. It is here because phones show a page's
 * pop-ups only through one, and because a pop-up may outlive the tab that showed it.
 */

/** TypeScript takes this for a page's script. */
const worker = /** @type {any} */ (self);
/** Our pages that cannot show what a pop-up leads to. */
const ELSEWHERE = /^\/(docs|login|api|static)\b/;

/** Take the user to `path` in a tab of the dashboard: the one in front, or any, or a new one. @param {string} path */
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
