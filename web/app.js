/** The dashboard's start: the desk if a user is logged in, else the log-in page. */

import { ApiError, createApi } from "./api.js";
import { createDesk } from "./desk.js";
import { fill, h } from "./dom.js";
import { createFormat } from "./format.js";
import { createRetry } from "./live/retry.js";
import { createBadge } from "./notify/badge.js";
import { errorState } from "./parts/state.js";
import { createToasts } from "./parts/toast.js";
import { createPrefs, openChannel } from "./prefs.js";
import { createRouter } from "./router.js";
import { texts } from "./texts.js";
import { createLogin } from "./views/login.js";
import { createWords } from "./words.js";

/** @param {HTMLElement} root */
function startApp(root) {
  const api = createApi({ onSignedOut: signedOut });
  const format = createFormat({ justNow: texts.justNow, now: () => Date.parse(api.now()) });
  const words = createWords(texts, format);
  const prefs = createPrefs(() => localStorage);
  const toasts = createToasts(texts);
  const badge = createBadge(texts.name);
  /** Joins this browser's tabs, which share one session. Each tells whose it is. */
  const tabs = openChannel("glimpse");
  /** @type {ReturnType<typeof createDesk> | undefined} */
  let desk;
  let user = "";
  /** What the user has written and not sent. It outlives their session. @type {import("./desk.js").Draft} */
  let draft = {};

  const router = createRouter(() => {
    if (!desk) return;
    // Back or forward may lead to where a session ended.
    goOn();
    desk.show(router.current());
  });
  prefs.watch(({ theme }) => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    for (const meta of document.querySelectorAll('meta[name="theme-color"]')) {
      const scheme = meta.id.slice("theme-".length);
      const system = `(prefers-color-scheme: ${scheme})`;
      meta.setAttribute("media", theme === "system" ? system : theme === scheme ? "all" : "not all");
    }
  });

  tabs.addEventListener("message", ({ data }) => {
    if (!desk) return void (data.user && begin());
    if (data.user === user) return;
    if (data.user) startOver();
    else signedOut();
  });

  // A pop-up that is pressed while the page loads is followed after that.
  navigator.serviceWorker?.addEventListener("message", ({ data }) => {
    if (data?.go && !desk) history.replaceState(history.state, "", data.go);
  });

  /** The session is another user's now: what is shown is not theirs, but what is done would be. */
  function startOver() {
    desk?.close();
    desk = undefined;
    fill(root);
    location.reload();
  }

  function signedOut() {
    desk?.close();
    desk = undefined;
    showLogin();
  }

  function showLogin() {
    if (root.querySelector(".login")) return;
    if (location.pathname !== "/login") {
      const wanted = location.pathname === "/" ? "/activity" : location.pathname + location.search;
      history.replaceState({ ...history.state, wanted, user }, "", "/login");
    }
    const login = createLogin({ texts, api, onLoggedIn: begin });
    fill(root, login.element);
    badge.page(texts.login.title);
    login.focus();
  }

  /** Go from the log-in to where this user was or wanted to go, even after a reload. */
  function goOn() {
    if (location.pathname !== "/login") return;
    const { wanted, user: whose, ...state } = history.state ?? {};
    history.replaceState(state, "", wanted && (!whose || whose === user) ? wanted : "/activity");
  }

  async function logOut() {
    try {
      await api.logOut();
    } catch (error) {
      // The session was over already.
      if (!(error instanceof ApiError && error.status === 401)) return toasts.fail(/** @type {Error} */ (error));
    }
    tabs.postMessage({ user: null });
    signedOut();
  }

  /** @type {Promise<void> | undefined} */
  let beginning;
  /** Called again meanwhile, this makes no second desk. */
  const begin = () => (beginning ??= enter().finally(() => (beginning = undefined)));

  const retry = createRetry(() => void begin());

  async function enter() {
    try {
      const me = await api.me();
      retry.stop();
      if (user !== me.id) draft = {};
      user = me.id;
      tabs.postMessage({ user });
      // Another tab's log-in may have been heard of while this tab's was on its way.
      desk?.close();
      desk = createDesk({
        texts, format, words, api, me, draft, prefs, router, toasts, badge,
        onLogOut: () => void logOut(),
        onSignedOut: signedOut,
        onStranger: startOver,
      });
      const hadFocus = root.contains(document.activeElement);
      fill(root, desk.element);
      goOn();
      desk.show(router.current());
      if (hadFocus) root.querySelector("main")?.focus();
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return retry.stop();
      showFailure(/** @type {Error} */ (error));
      if (error instanceof ApiError) retry.later(error.retryAfter);
    }
  }

  /** An error is not drawn anew at every try: it would be read aloud again. @param {Error} error */
  function showFailure(error) {
    const said = root.querySelector("main > [role=alert] > p")?.textContent;
    if (said !== error.message) fill(root, h("main", { id: "content" }, errorState(texts, error, begin)));
  }

  void begin();
}

startApp(/** @type {HTMLElement} */ (document.getElementById("app")));
