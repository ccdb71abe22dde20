/** The dashboard's start: who is asking decides between the log-in and the desk. */

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
  /** Joins all tabs of this browser, which have one session; each says whose it is. */
  const tabs = openChannel("glimpse");
  /** @type {ReturnType<typeof createDesk> | undefined} */
  let desk;
  let user = "";

  const router = createRouter((route) => desk?.show(route));
  prefs.watch(({ theme }) => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  });

  tabs.addEventListener("message", ({ data }) => {
    if (!desk || data.user === user) return;
    if (data.user) startOver();
    else signedOut();
  });

  // A pop-up that is pressed while the page is being loaded leads on once that is done.
  navigator.serviceWorker?.addEventListener("message", ({ data }) => {
    if (data?.go && !desk) history.replaceState(history.state, "", data.go);
  });

  /** The session is another user's: what is here is not theirs, and what it would do is done in their name. */
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

  /** From the log-in to where its user was or wanted to go, also after a reload; not to where somebody else was. */
  function goOn() {
    if (location.pathname !== "/login") return;
    const { wanted, user: whose, ...state } = history.state ?? {};
    history.replaceState(state, "", wanted && (!whose || whose === user) ? wanted : "/activity");
  }

  async function logOut() {
    try {
      await api.logOut();
    } catch (error) {
      // A session that is over already is what was asked for.
      if (!(error instanceof ApiError && error.status === 401)) return toasts.fail(/** @type {Error} */ (error));
    }
    tabs.postMessage({ user: null });
    signedOut();
  }

  /** @type {Promise<void> | undefined} */
  let beginning;
  /** Whoever asks again while it is under way gets no second desk. */
  const begin = () => (beginning ??= enter().finally(() => (beginning = undefined)));

  const retry = createRetry(() => void begin());

  async function enter() {
    try {
      const me = await api.me();
      retry.stop();
      user = me.id;
      tabs.postMessage({ user });
      desk = createDesk({
        texts, format, words, api, me, prefs, router, toasts, badge,
        onLogOut: () => void logOut(),
        onSignedOut: signedOut,
        onStranger: startOver,
      });
      fill(root, desk.element);
      goOn();
      desk.show(router.current());
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return retry.stop();
      showFailure(/** @type {Error} */ (error));
      if (error instanceof ApiError) retry.later(error.retryAfter);
    }
  }

  /** What is said already is not said again at every try. @param {Error} error */
  function showFailure(error) {
    const said = root.querySelector("main > [role=alert] > p")?.textContent;
    if (said !== error.message) fill(root, h("main", { id: "content" }, errorState(texts, error, begin)));
  }

  void begin();
}

startApp(/** @type {HTMLElement} */ (document.getElementById("app")));
