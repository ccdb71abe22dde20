/**
 * The desk of a user who is logged in: it builds the parts, connects them, and shows the view that the
 * address names. When the user logs out, all of it is put away.
 */

import { createLive } from "./live/live.js";
import { createAttention } from "./live/attention.js";
import { oncePerFrame } from "./live/frames.js";
import { createMessageBook } from "./live/messages.js";
import { createUnseen } from "./live/unseen.js";
import { createMuteAll } from "./mute-all.js";
import { createChime } from "./notify/chime.js";
import { createElection } from "./notify/leader.js";
import { createPopups } from "./notify/popups.js";
import { createPopupTexts } from "./notify/popup-texts.js";
import { createScreen } from "./notify/screen.js";
import { createConnectionSign } from "./parts/connection.js";
import { createShell } from "./parts/shell.js";
import { createShortcuts } from "./parts/shortcuts.js";
import { keepTimesFresh, refreshTimes } from "./parts/time.js";
import { openChannel } from "./prefs.js";
import { createActivity } from "./views/activity.js";
import { createAdd } from "./views/add.js";
import { createHistory } from "./views/history.js";
import { createMessages } from "./views/messages.js";
import { createSettings } from "./views/settings.js";

/** @typedef {{ subject?: string, to?: string }} Draft a mail that is being described, to add tracking to it */
/**
 * What a view may use.
 * @typedef {object} Desk
 * @property {typeof import("./texts.js").texts} texts
 * @property {import("./format.js").Format} format
 * @property {import("./words.js").Words} words
 * @property {import("./api.js").Api} api
 * @property {import("./api.js").Me} me
 * @property {Draft} draft
 * @property {import("./api.js").Me["settings"]} settings as they are now
 * @property {import("./live/live.js").Live} live
 * @property {import("./live/messages.js").MessageBook} book
 * @property {import("./live/unseen.js").Unseen} unseen
 * @property {import("./live/attention.js").Attention} attention
 * @property {import("./prefs.js").Prefs} prefs
 * @property {import("./parts/toast.js").Toasts} toasts
 * @property {import("./router.js").Router} router
 * @property {import("./mute-all.js").MuteAll} muteAll
 * @property {() => void} chime
 * @property {(name: string) => void} onRenamed
 * @property {AbortSignal} ended aborted when the user logs out
 */
/** @typedef {{ element: HTMLElement, title: string, enter: (route: import("./router.js").Route) => void, move?: (step: number) => void, search?: () => void, focused?: () => string | undefined, toggleMachines?: () => void, redraw?: () => void }} View `redraw` is called when all times are other ones, in another time zone */

/**
 * @param {object} parts
 * @param {typeof import("./texts.js").texts} parts.texts
 * @param {import("./format.js").Format} parts.format
 * @param {import("./words.js").Words} parts.words
 * @param {import("./api.js").Api} parts.api
 * @param {import("./api.js").Me} parts.me
 * @param {Draft} parts.draft
 * @param {import("./prefs.js").Prefs} parts.prefs
 * @param {import("./router.js").Router} parts.router
 * @param {import("./parts/toast.js").Toasts} parts.toasts
 * @param {{ page: (title: string) => void, count: (count: number) => void }} parts.badge
 * @param {() => void} parts.onLogOut called when the user wants to log out
 * @param {() => void} parts.onSignedOut called when they were logged out, perhaps long ago
 * @param {() => void} parts.onStranger called when the session is somebody else's
 */
export function createDesk({ texts, format, words, api, me, draft, prefs, router, toasts, badge, onLogOut, onSignedOut, onStranger }) {
  const ending = new AbortController();
  const ended = ending.signal;
  const channel = openChannel(`glimpse-${me.id}`);
  const live = createLive({ url: location.origin, user: me.id, sequence: me.sequence });
  const attention = createAttention(channel);
  const book = createMessageBook(api, live, ended);
  const chime = createChime(`glimpse-chime-${me.id}`, channel);
  const muteAll = createMuteAll({ texts, api, live, toasts, channel, ended });
  const shell = createShell({
    texts,
    format,
    me,
    connection: createConnectionSign(texts, live),
    onLogOut: () => void muteAll.finish().then(onLogOut),
    onShortcuts: () => shortcuts.open(),
  });
  const unseen = createUnseen({
    api,
    live,
    me,
    onChange: oncePerFrame(() => showCount(unseen.count)),
  });

  /** @param {number} count */
  function showCount(count) {
    if (ended.aborted) return;
    shell.count(count);
    badge.count(count);
  }

  /** Go where a pop-up leads. @param {string} path */
  function follow(path) {
    focus();
    unseen.markAll();
    // A history takes the place of one that is open, so that closing it does not open the other.
    router.go(path, { replace: historyView.isOpen });
  }

  const popups = createPopups({
    live,
    attention,
    channel,
    leads: () => election.leads(),
    held: muteAll.held,
    describe: createPopupTexts(texts, words),
    screen: createScreen({ onClick: follow, ended }),
    wanted: () => prefs.get("popups"),
    chime: () => prefs.get("sound") && chime(),
  });
  const election = createElection(`glimpse-${me.id}`, popups.takeOver);
  // A tab that is not live has no pop-ups to show, and as the leader would keep the others from showing any.
  live.on("state", ({ state }) => (state === "live" ? election.join() : election.leave()));

  /** @type {Desk} */
  const desk = {
    texts, format, words, api, me, draft, live, book, unseen, attention, prefs, toasts, router, muteAll, chime, ended,
    settings: me.settings,
    onRenamed: shell.rename,
  };
  live.on("settings", ({ settings }) => (desk.settings = settings));
  live.on("muted-all", ({ at }) => (desk.settings = { ...desk.settings, muted_all_at: at }));
  live.on("refused", ({ code }) => code === 4401 && onSignedOut());
  live.on("stranger", onStranger);
  live.on("caught-up", ({ missed }) => missed > 0 && toasts.say(texts.connection.missed(missed)));

  /** @type {Record<string, () => View>} */
  const makers = {
    activity: () => createActivity(desk),
    messages: () => createMessages(desk),
    settings: () => createSettings(desk),
    try: () => createAdd(desk),
  };
  /** @type {Map<string, View>} */
  const views = new Map();
  const historyView = createHistory(desk);
  /** @type {Map<string, number>} where each view was scrolled to */
  const scrolled = new Map();
  let current = "";

  /** @param {string} name @param {import("./router.js").Route} route */
  function showView(name, route) {
    const view = views.get(name) ?? makers[name]();
    views.set(name, view);
    if (current !== name) {
      scrolled.set(current, scrollY);
      shell.main.replaceChildren(view.element);
      // While it was away, its times stood still.
      refreshTimes(format);
      shell.mark(name);
      view.enter(route);
      scrollTo(0, scrolled.get(name) ?? 0);
      if (current) {
        shell.main.focus({ preventScroll: true });
        // The tap came before the view.
        attention.alive();
      }
      current = name;
    } else {
      view.enter(route);
    }
    badge.page(view.title);
  }

  /** @param {import("./router.js").Route} route */
  function show(route) {
    if (route.name === "history") {
      if (!current) showView("messages", route);
      badge.page(texts.history.title);
      historyView.open(String(route.id), () => router.back(`/${current}`));
      return;
    }
    historyView.dismiss();
    showView(makers[route.name] ? route.name : "activity", route);
  }

  const view = () => views.get(current);
  const shortcuts = createShortcuts({
    texts,
    ended,
    enabled: () => prefs.get("shortcuts"),
    actions: {
      "g a": () => router.go("/activity"),
      "g m": () => router.go("/messages"),
      "g t": () => router.go("/try"),
      "g s": () => router.go("/settings"),
      j: () => historyView.isOpen || view()?.move?.(1),
      k: () => historyView.isOpen || view()?.move?.(-1),
      m: () => (historyView.isOpen ? historyView.toggleMute() : toggleMute(view()?.focused?.())),
      ".": () => (historyView.isOpen ? historyView.toggleMachines() : view()?.toggleMachines?.()),
      "/": search,
      Enter: openFocused,
    },
  });

  let muting = Promise.resolve();
  /** A press during the last one is decided after its answer: two quick ones undo each other. @param {string | undefined} id */
  const toggleMute = (id) => (muting = muting.then(() => toggle(id)));

  /** @param {string | undefined} id */
  async function toggle(id) {
    const brief = id && (await book.brief(id));
    if (!brief) return;
    try {
      const since = book.heard;
      const changed = await api.changeMessage(brief.id, { muted: !brief.muted });
      book.noteWhole(changed, since);
      toasts.say(changed.muted ? texts.speaker.nowOff : desk.settings.realtime_notifications ? texts.speaker.nowOn : texts.speaker.nowOnUntold);
    } catch (error) {
      toasts.fail(/** @type {Error} */ (error));
    }
  }

  function search() {
    if (historyView.isOpen) return;
    if (current !== "messages") router.go("/messages");
    view()?.search?.();
  }

  /** Enter on a row opens its history; on a button or link it does what it always does. */
  function openFocused() {
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    if (focused?.matches(".open[data-message]")) router.go(`/messages/${focused.dataset.message}`);
    else focused?.click();
  }

  shell.element.append(historyView.dialog, shortcuts.sheet);
  const stopTimes = keepTimesFresh(format, () => [historyView, ...views.values()].forEach((one) => one.redraw?.()));
  live.start();

  return {
    element: shell.element,
    show,
    close() {
      // What a toast offers to undo would be done to the next user.
      toasts.withdraw();
      ending.abort();
      stopTimes();
      popups.stop();
      election.leave();
      attention.stop();
      live.close();
      channel.close();
      badge.count(0);
    },
  };
}
