/**
 * Every text of the dashboard. To translate it, translate this file.
 * A text with something to fill in is a function.
 */

/** @param {number} count @param {string} one @param {string} many */
const plural = (count, one, many) => (count === 1 ? one : many);

/** A name within a sentence. It may be written in the other direction than the sentence. @param {string} name */
const isolated = (name) => `\u2068${name}\u2069`;

export const texts = {
  name: "Glimpse",
  loading: "Loading…",
  retry: "Try again",
  undo: "Undo",
  close: "Close",
  copy: "Copy",
  copied: "Copied",
  justNow: "just now",
  noSubject: "(no subject)",

  nav: {
    label: "Main",
    activity: "Activity",
    messages: "Messages",
    add: "Add tracking",
    settings: "Settings",
    logOut: "Log out",
    shortcuts: "Keyboard shortcuts",
    /** @param {number} count */
    unseen: (count) => (count > 999 ? "1,000 or more unseen" : `${count} unseen`),
  },

  errors: {
    server: "The hub could not do that. Try again in a moment.",
    unreachable: "The hub cannot be reached. Check your connection and try again.",
    /** @param {number} seconds */
    slowDown: (seconds) => `Too many attempts. Try again in ${seconds} ${plural(seconds, "second", "seconds")}.`,
    page: "This could not be loaded",
    copy: "The browser did not let us copy. Select the text and copy it yourself.",
  },

  connection: {
    idle: "Not connected",
    connecting: "Connecting…",
    "catching-up": "Catching up…",
    live: "Live",
    waiting: "Offline, trying again",
    refused: "Not connected",
    useHere: "Use it here",
    /** @param {number} code */
    refusal: (code) =>
      code === 4409
        ? "Glimpse is open in too many places at once. Close some of them."
        : code === 4401
          ? "You were logged out."
          : "The hub closed the connection. Reload the page to go on.",
    /** @param {number} count */
    missed: (count) => `${count} ${plural(count, "open", "opens")} while you were away`,
  },

  login: {
    title: "Log in",
    lead: "Know, at once, that your mail was opened.",
    email: "Email",
    password: "Password",
    submit: "Log in",
    notKept: "This browser has not kept the cookie that says who is logged in. Allow cookies for this page, and try again.",
    wrong: "That email and password do not fit together.",
    help: "No account yet? Whoever runs this hub makes one with “glimpse user add”.",
  },

  activity: {
    title: "Activity",
    lead: "Every open of your mail, as it happens.",
    machines: "Show machines and repeats",
    machinesHint: "Prefetches, scanners, bots, your own views and repeats. They are never counted.",
    feed: "Opens, newest first",
    more: "Loading older opens…",
    end: "That is everything.",
    /** @param {number} count */
    fresh: (count) => `${count} new ${plural(count, "open", "opens")}`,
    missed: "While you were away",
    emptyTitle: "No opens yet",
    empty: "When someone opens a tracked mail, it appears here the same second. Want to see it work? It takes a minute.",
    emptyAction: "Add tracking to a mail",
    /** @param {string} who @param {string} subject */
    announce: (who, subject) => `${who} opened ${subject}`,
    /** @param {string} why @param {string} opened */
    announceBack: (why, opened) => `${why} (${opened})`,
    verb: "opened",
    unread: "a mail (its subject could not be loaded)",
    /** @param {number} count @param {string} shown */
    times: (count, shown) => `${shown} ${plural(count, "open", "opens")}`,
    reasons: "Why:",
  },

  ask: {
    title: "Hear of an open the moment it happens",
    lead: "Glimpse can show a small pop-up, also while you work in another window. You can mute any mail.",
    yes: "Turn on pop-ups",
    no: "Not now",
    granted: "Pop-ups are on.",
    denied: "Your browser blocks pop-ups from this page. Allow them in the site settings beside the address.",
    unsupported: "This browser shows no pop-ups on this page. They need a secure (https) address.",
  },

  popup: {
    /** @param {string} who */
    title: (who) => `${who} opened your mail`,
    /** @param {number} count */
    burstTitle: (count) => `${count} opens`,
    /** @param {number} count */
    missedTitle: (count) => `${count} ${plural(count, "open", "opens")} while you were away`,
  },

  messages: {
    title: "Messages",
    lead: "What you sent, and what became of it.",
    search: "Search messages",
    searchHint: "Subject or recipient",
    filter: "Show",
    all: "All",
    opened: "Opened",
    unopened: "Not opened",
    template: "Template",
    anyTemplate: "Any template",
    list: "Messages, newest first",
    /** @param {string} first @param {number} others */
    to: (first, others) => (others ? `${isolated(first)} and ${others} more` : first),
    /** @param {number} count @param {string} shown */
    opens: (count, shown) => `${shown} ${plural(count, "open", "opens")}`,
    notOpened: "Not opened",
    notKnown: "Opens unknown",
    untracked: "Not tracked",
    draft: "Not sent yet",
    /** @param {string} when */
    sent: (when) => `Sent ${when}`,
    /** @param {string} when */
    toBeSent: (when) => `To be sent ${when}`,
    muted: "Muted",
    emptyTitle: "No messages yet",
    empty: "Register a mail with your plugin, or try it by hand.",
    noneTitle: "Nothing fits",
    none: "No message fits this search. Try fewer words or another filter.",
    clear: "Clear the search",
    /** @param {number} count @param {string} shown @param {boolean} isAll */
    found: (count, shown, isAll) => (isAll ? `${shown} ${plural(count, "message", "messages")}` : `More than ${shown} messages`),
    /** @param {string} count */
    chart: (count) => `Opens over time: ${count}`,
  },

  history: {
    title: "Open history",
    back: "Close the history",
    opens: "Opens",
    first: "First opened",
    last: "Last opened",
    notYet: "Not yet",
    readers: "Recipients",
    timeline: "Over time",
    /** @param {string} from @param {string} to @param {number} count */
    timelineLabel: (from, to, count) => `${count} ${plural(count, "open", "opens")} between ${from} and ${to}`,
    sent: "Sent",
    now: "Now",
    places: "Places",
    everyOpen: "Every open",
    machines: "Show machines and repeats",
    none: "Nobody has opened it yet. When somebody does, it appears here at once.",
    noneTracked: "This mail was sent as plain text. Plain text cannot carry an image, so its opens cannot be seen.",
    draft: "This mail is not sent yet. Until it is, every view counts as your own.",
    /** @param {string} when */
    scheduled: (when) => `This mail is to be sent ${when}. Until then, every view counts as your own.`,
    shared: "The recipients share one copy, so an open says that someone of them read it, not who.",
    notFoundTitle: "No such message",
    notFound: "None has this address, or it belongs to somebody else.",
    crm: "Open the record",
    more: "Show older opens",
    /** @param {string} count */
    latest: (count) => `the latest ${count}`,
    placeUnknown: "Unknown",
    placeOthers: "Elsewhere",
    /** @param {string} count */
    moreReaders: (count) => `and ${count} more`,
  },

  speaker: {
    mute: "Mute this mail",
    unmute: "Unmute this mail",
    on: "Speaking: you are told when it is opened.",
    off: "Muted: opens are recorded, but you are not told.",
    nowOff: "Muted. Opens of this mail are still recorded, but you will not be told.",
    nowOn: "Unmuted. You will be told when this mail is opened.",
    nowOnUntold: "Unmuted, but real-time notifications are off, so you are not told.",
    realtimeOff: "Real-time notifications are off, so nothing is told.",
  },

  settings: {
    title: "Settings",
    lead: "What you are told, where you are logged in, and who may ask.",
    notifications: "Notifications",
    realtime: "Enable real-time notifications",
    realtimeHint: "Off, nothing is announced on any of your devices, now or later, until you turn it on again. Opens are still recorded.",
    realtimeOn: "Real-time notifications are on.",
    realtimeOff: "Real-time notifications are off.",
    muteAll: "Mute all notifications",
    muteAllAction: "Mute all",
    muteAllHint: "Silences every mail registered so far, drafts too. New mail still notifies, and any one mail gets its voice back with its speaker.",
    /** @param {number} seconds */
    muteAllSoon: (seconds) => `Muting everything registered so far in ${seconds} seconds, or when you leave this page…`,
    muteAllDone: "Muted everything registered so far. New mail still notifies.",
    muteAllUndone: "Nothing was muted.",
    /** @param {string} when */
    mutedAllAt: (when) => `Last used ${when}.`,
    popups: "Pop-ups in this browser",
    popupsHint: "One pop-up an open, however many tabs are open.",
    sound: "Sound",
    soundHint: "A soft chime in this browser when mail is opened.",
    appearance: "Appearance",
    theme: "Theme",
    system: "As the system",
    light: "Light",
    dark: "Dark",
    shortcuts: "Keyboard shortcuts",
    shortcutsHint: "Single keys, as G then A for Activity. Press ? to see them.",
    tokens: "API tokens",
    tokensLead: "For plugins and scripts. A token can do what you can do, so keep it as you keep a password.",
    tokenName: "Name of the new token",
    tokenNameHint: "What it is for, as “Mail plugin”",
    tokenCreate: "Create token",
    badTokenName: "Say what the token is for.",
    tokenOnce: "Copy it now: it is shown this once, and only its hash is kept.",
    tokenLabel: "The new token",
    tokenDone: "I have it",
    tokensNone: "No tokens yet.",
    /** @param {string} when */
    tokenUsed: (when) => `Last used ${when}`,
    tokenUnused: "Never used",
    /** @param {string} when */
    created: (when) => `created ${when}`,
    revoke: "Revoke",
    /** @param {string} name */
    revokeLabel: (name) => `Revoke ${name}`,
    revokeSure: "Revoke for good?",
    /** @param {string} name */
    revoked: (name) => `Revoked ${name}. Its connections are closed.`,
    sessions: "Where you are logged in",
    thisSession: "This browser",
    otherSession: "A browser",
    /** @param {string} when */
    sessionSince: (when) => `Since ${when}`,
    /** @param {string} when */
    sessionUsed: (when) => `last active ${when}`,
    endSession: "Log out there",
    sessionEnded: "Logged out there.",
    account: "Account",
    accountName: "Your name",
    badName: "Give a name of up to 200 characters.",
    saveName: "Save name",
    nameSaved: "Your name is saved.",
    current: "Current password",
    badCurrent: "This is not your current password.",
    fresh: "New password",
    badFresh: "A new password has 8 to 256 characters.",
    changePassword: "Change password",
    passwordChanged: "Your password is changed. Your other sessions are logged out.",
    docs: "API documentation",
  },

  add: {
    title: "Add tracking to a mail",
    lead: "See the whole thing work in a minute, with no plugin.",
    step1: "Describe the mail",
    subject: "Subject",
    subjectHint: "So that you know it again",
    to: "To",
    toHint: "Addresses, with commas",
    badSubject: "A subject has up to 1,000 characters.",
    /** @param {string} most */
    badTo: (most) => `The hub does not take one of these. A mail has up to ${most} recipients, each with an address as name@example.com.`,
    create: "Make the snippet",
    step2: "Put the snippet at the end of the mail",
    step2Hint: "An invisible image of one pixel. Copy it as HTML for a mail program that takes source, or copy the image itself and paste it into the mail as you write.",
    snippet: "Snippet",
    snippetFor: (/** @type {string} */ address) => `Snippet for ${address}`,
    copyHtml: "Copy HTML",
    copyImage: "Copy as an image",
    step3: "Send the mail",
    step3Hint: "Until you say that it is sent, every view of the mail counts as your own.",
    sent: "I have sent it",
    isSent: "Sent. From now on an open is an open.",
    step4: "Watch it being opened",
    waiting: "Waiting for the first open…",
    waitingDraft: "Waiting for you to send it.",
    pretend: "No mail at hand? Be the reader: open the image in a new tab.",
    own: "The image was asked for, but you have not said that the mail is sent, so it counts as your own view.",
    machine: "A machine asked for the image. That is not an open.",
    opened: "Opened!",
    history: "Open its history",
    again: "Add tracking to another mail",
    badAddress: (/** @type {string} */ address) => `“${address}” is not an email address.`,
    noAddress: "Give at least one address.",
  },

  shortcuts: {
    title: "Keyboard shortcuts",
    go: "Go to",
    lists: "In a list",
    anywhere: "Anywhere",
    search: "Search messages",
    next: "Next",
    previous: "Previous",
    open: "Open its history",
    mute: "Mute or unmute",
    machines: "Show or hide machines",
    help: "This sheet",
    dismiss: "Close what is open",
    then: "then",
    off: "Single-key shortcuts are off. You can turn them on in Settings.",
  },

  who: {
    someone: "Someone",
    /** @param {string} count */
    someoneOf: (count) => `Someone, of ${count}`,
  },

  verdicts: {
    human: "A person",
    proxy: "A person",
    prefetch: "A prefetch",
    scanner: "A security scanner",
    bot: "A bot",
    self: "You",
    repeat: "A repeat",
  },
  verdictHints: {
    human: "A person opened it.",
    proxy: "A person opened it, through their mail provider’s image proxy.",
    prefetch: "A mail program or provider fetched the image ahead of time. Nobody has read it yet, as far as we know.",
    scanner: "A security product looked at the mail before it was delivered.",
    bot: "A program that fetches pages, not a person.",
    self: "Your own view of your own mail.",
    repeat: "The same reader again, seconds later. Counted once.",
  },
  confidence: { high: "That is certain.", medium: "That is likely, not certain.", low: "That is a guess." },
  takenBack: {
    /** @param {string} what */
    title: (what) => `Taken back: ${what}`,
    scanner: "it was a security scanner",
    prefetch: "it was fetched ahead of time",
    bot: "it was a bot",
    self: "it was you",
    human: "it was a repeat",
    proxy: "it was a repeat",
  },
  places: {
    /** @param {string} provider */
    hiddenBy: (provider) => `hidden by ${provider}`,
    unknown: "place unknown",
  },
  providers: /** @type {Record<string, string>} */ ({
    gmail: "Gmail",
    apple: "Apple",
    yahoo: "Yahoo",
    outlook: "Outlook",
  }),
  devices: { desktop: "Computer", mobile: "Phone", tablet: "Tablet", unknown: "device unknown" },
};
