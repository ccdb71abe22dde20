/** Numbers, times and places in the reader's own language and habits, by `Intl`. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** @typedef {ReturnType<typeof createFormat>} Format */

/** The local midnight at which the day of `date` began, in milliseconds. @param {Date} date */
const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();

/** The computer's time zone, which changes on a journey. */
const timeZone = () => new Intl.DateTimeFormat().resolvedOptions().timeZone;

/** Formats of dates and of times of day. They stay in the time zone in which they are made. @param {string | undefined} locale */
const createDates = (locale) => ({
  zone: timeZone(),
  clock: new Intl.DateTimeFormat(locale, { hour: "numeric", minute: "2-digit" }),
  weekday: new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long" }),
  datedWeekday: new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long", year: "numeric" }),
  shortDay: new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" }),
  dated: new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", year: "numeric" }),
  exact: new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "long" }),
});

/**
 * @param {object} options
 * @param {string} options.justNow
 * @param {string | undefined} [options.locale] default: the browser's
 * @param {() => number} options.now milliseconds since the epoch, by the clock of the times that are formatted
 */
export function createFormat({ justNow, locale, now }) {
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto", style: "short" });
  const wholeDay = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
  let dates = createDates(locale);
  const whole = new Intl.NumberFormat(locale);
  const compact = new Intl.NumberFormat(locale, { notation: "compact", maximumFractionDigits: 1 });
  const countries = new Intl.DisplayNames(locale, { type: "region", fallback: "code" });
  const lists = new Intl.ListFormat(locale, { type: "conjunction" });

  /** Days from today's midnight to that of `date`; yesterday is -1. @param {Date} date */
  const daysAway = (date) => Math.round((midnight(date) - midnight(new Date(now()))) / DAY);

  return {
    now,
    /** Go over to the computer's time zone if that is another by now. Returns whether it is. */
    move() {
      if (timeZone() === dates.zone) return false;
      dates = createDates(locale);
      return true;
    },
    /** Whether a moment is still to come, and by more than two clocks may differ. @param {string} time */
    isAhead: (time) => Date.parse(time) - now() > MINUTE,
    /** How long ago, in the shortest form: "just now", "4 min. ago", "14:02", "3 Nov". @param {string} time */
    ago(time) {
      const date = new Date(time);
      const age = now() - date.getTime();
      if (this.isAhead(time)) return this.dateTime(time);
      if (age < MINUTE) return justNow;
      if (age < HOUR) return relative.format(-Math.floor(age / MINUTE), "minute");
      if (daysAway(date) === 0) return age < 6 * HOUR ? relative.format(-Math.floor(age / HOUR), "hour") : dates.clock.format(date);
      if (daysAway(date) === -1) return `${wholeDay.format(-1, "day")}, ${dates.clock.format(date)}`;
      return this.date(time);
    },
    /** @param {string} time */
    date(time) {
      const date = new Date(time);
      return date.getFullYear() === new Date(now()).getFullYear() ? dates.shortDay.format(date) : dates.dated.format(date);
    },
    /** Day and time of day. @param {string} time */
    dateTime(time) {
      return `${this.date(time)}, ${dates.clock.format(new Date(time))}`;
    },
    /** The full date and time, for a tooltip. @param {string} time */
    exact: (time) => dates.exact.format(new Date(time)),
    /** A key of a moment's local day: the same for all moments of that day. @param {string} time */
    dayKey: (time) => String(midnight(new Date(time))),
    /** The heading of a day: "Today", "Yesterday", "Tuesday 3 November". @param {string} time */
    day(time) {
      const date = new Date(time);
      const away = daysAway(date);
      if (away < -1 || away > 0) return (date.getFullYear() === new Date(now()).getFullYear() ? dates.weekday : dates.datedWeekday).format(date);
      const name = wholeDay.format(away, "day");
      return name.charAt(0).toLocaleUpperCase(locale) + name.slice(1);
    },
    /** @param {number} value */
    number: (value) => whole.format(value),
    /** @param {number} value */
    short: (value) => compact.format(value),
    /** A country's name in the reader's language. @param {string} code ISO 3166-1 alpha-2 */
    country(code) {
      try {
        return countries.of(code) ?? code;
      } catch {
        return code;
      }
    },
    /** "a, b and c". @param {string[]} items */
    list: (items) => lists.format(items),
  };
}
