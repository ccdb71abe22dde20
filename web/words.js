/** An open in plain words: who, where, on what, and what it really was. Nothing is claimed that is not known. */

/** @typedef {import("./client.js").Open} Open */
/** @typedef {{ id: string, subject: string, opens: number, muted: boolean, recipients: number }} Brief */
/** @typedef {ReturnType<typeof createWords>} Words */

/**
 * @param {typeof import("./texts.js").texts} texts
 * @param {import("./format.js").Format} format
 */
export function createWords(texts, format) {
  const words = {
    /** Who opened it: the reader if the pixel is theirs alone, else someone. @param {Open} open @param {Brief} [message] */
    who(open, message) {
      if (open.recipient) return words.name(open.recipient);
      const count = message?.recipients ?? 0;
      return count > 1 ? texts.who.someoneOf(format.number(count)) : texts.who.someone;
    },

    /** What to call a recipient: their name, unless it is blank, else their address. @param {{ name: string | null, address: string }} recipient */
    name: ({ name, address }) => name?.trim() || address,

    /** To whom a message went: "Lena" or "Lena and 2 more". @param {{ recipients: { name: string | null, address: string }[] }} message */
    to: ({ recipients: [first, ...others] }) => texts.messages.to(words.name(first), others.length),

    /** @param {{ subject: string } | undefined} message @param {string} [unknown] the text if there is no message */
    subject: (message, unknown = texts.noSubject) => (message ? message.subject.trim() || texts.noSubject : unknown),

    /** Whether a message has been sent by now. @param {{ sent_at: string | null }} message */
    isSent: ({ sent_at }) => sent_at !== null && !format.isAhead(sent_at),

    /** "United States" or "hidden by Gmail"; null if neither is known. @param {Open["place"]} place */
    country({ hidden_by, country_code, country }) {
      if (hidden_by) return texts.places.hiddenBy(words.provider(hidden_by));
      return country_code ? format.country(country_code) : country;
    },

    /** "Boston, US", "hidden by Gmail" or that it is not known. @param {Open} open */
    where({ place }) {
      const near = place.hidden_by ? null : (place.city ?? place.region);
      if (near) return place.country_code ? `${near}, ${place.country_code}` : near;
      return words.country(place) ?? texts.places.unknown;
    },

    /** @param {string} name */
    provider: (name) => texts.providers[name] ?? name,

    /** "Apple Mail on iOS", or the kind of device. @param {Open} open */
    device({ device }) {
      const known = [device.client, device.os].filter(Boolean).join(", ");
      return known || texts.devices[device.type] || texts.devices.unknown;
    },

    /** Where and on what. The program is left out if "hidden by Gmail" names it already. @param {Open} open */
    facts(open) {
      const { hidden_by } = open.place;
      const said = hidden_by && open.device.client === words.provider(hidden_by) && !open.device.os;
      return said ? [words.where(open)] : [words.where(open), words.device(open)];
    },

    /** What it was, in a word or two. @param {Open} open */
    verdict: (open) => (open.repeat ? texts.verdicts.repeat : texts.verdicts[open.verdict]),

    /** What that means, in a sentence. @param {Open} open */
    meaning: (open) => (open.repeat ? texts.verdictHints.repeat : texts.verdictHints[open.verdict]),

    /** Why a notification was taken back. @param {Open} open */
    takenBack: (open) => texts.takenBack.title(texts.takenBack[open.verdict]),
  };
  return words;
}
