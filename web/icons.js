/** The icons: strokes on a 24 by 24 grid, drawn in the colour of the text around them. */

import { svg } from "./dom.js";

const PATHS = {
  activity: ["M3 12h4l3-8 4 16 3-8h4"],
  mail: ["M4 5h16a1 1 0 0 1 1 1v12a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1Z", "m3.5 6.5 8.5 7 8.5-7"],
  settings: ["M4 7h9M17 7h3M4 17h3M11 17h9", "M15 9.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Z", "M9 19.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Z"],
  add: ["M12 5v14M5 12h14"],
  search: ["M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14Z", "m20 20-4-4"],
  close: ["m6 6 12 12M18 6 6 18"],
  sound: ["M4 10v4h3l5 4V6L7 10H4Z", "M15.5 9a4 4 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11"],
  muted: ["M4 10v4h3l5 4V6L7 10H4Z", "m16 9.5 5 5M21 9.5l-5 5"],
  bell: ["M6 16V11a6 6 0 0 1 12 0v5l1.5 2h-15L6 16Z", "M10 20.5a2 2 0 0 0 4 0"],
  eye: ["M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12Z", "M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6Z"],
  machine: ["M6 8h12a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2H6a2 2 0 0 1-2-2v-7a2 2 0 0 1 2-2Z", "M12 8V4.5M9 13v1M15 13v1"],
  self: ["M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8Z", "M4.5 20c.8-3.6 3.8-5.5 7.5-5.5s6.7 1.9 7.5 5.5"],
  people: ["M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7Z", "M2.5 19.500c.6-3.4 3.2-5 6.5-5s5.9 1.6 6.5 5", "M16 4.500a3.3 3.3 0 0 1 0 6.300M18 14.700c2 .7 3.2 2.3 3.6 4.8"],
  repeat: ["M4 11a8 8 0 0 1 14-4l2 2M20 4v5h-5", "M20 13a8 8 0 0 1-14 4l-2-2M4 20v-5h5"],
  copy: ["M9 9h10v11H9z", "M15 9V4H5v11h4"],
  check: ["m5 12.5 4.5 4.500L19 7.5"],
  out: ["M14 4h5v16h-5M4 12h10M10 8l4 4-4 4"],
  keyboard: ["M3 7h18v10H3zM7 11h.01M11 11h.01M15 11h.01M8 14h8"],
};

/**
 * An icon, hidden from screen readers: there must be a text beside it.
 * @param {keyof typeof PATHS} name
 */
export function icon(name) {
  return svg(
    "svg",
    { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" },
    PATHS[name].map((d) => svg("path", { d })),
  );
}
