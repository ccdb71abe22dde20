/** The unseen count in the tab's title and icon, where it shows while another tab is in front. */

const SIZE = 64;
/** The hub counts to one more than this at most. */
const MOST = 999;
/** The icon is drawn no more often than anyone can read it. */
const EVERY_MS = 250;

/** @param {number} count @returns {string} a PNG as a data URL */
function drawIcon(count) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIZE;
  const paint = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const text = count > 99 ? "99" : String(count);
  paint.fillStyle = "#d92d20";
  paint.beginPath();
  paint.arc(SIZE / 2, SIZE / 2, SIZE / 2, 0, 2 * Math.PI);
  paint.fill();
  paint.fillStyle = "#fff";
  paint.font = `700 ${text.length > 1 ? 36 : 44}px system-ui, sans-serif`;
  paint.textAlign = "center";
  paint.textBaseline = "middle";
  paint.fillText(text, SIZE / 2, SIZE / 2 + 3);
  return canvas.toDataURL("image/png");
}

/** @param {string} name of the product */
export function createBadge(name) {
  const link = /** @type {HTMLLinkElement} */ (document.querySelector("link[rel=icon]"));
  const plain = { href: link.href, type: link.type };
  let page = "";
  let count = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let drawing;

  const write = () => (document.title = `${count ? `(${count > MOST ? `${MOST}+` : count}) ` : ""}${page ? `${page} · ` : ""}${name}`);

  function draw() {
    drawing = undefined;
    Object.assign(link, count ? { href: drawIcon(count), type: "image/png" } : plain);
  }

  return {
    /** @param {string} title of the view */
    page(title) {
      page = title;
      write();
    },
    /** @param {number} next */
    count(next) {
      if (next === count) return;
      count = next;
      write();
      drawing ??= setTimeout(draw, EVERY_MS);
    },
  };
}
