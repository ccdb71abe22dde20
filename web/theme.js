/** Before the first paint: the theme chosen in this browser, so that the page does not flash; and what to do if no page comes. */
try {
  const { theme } = JSON.parse(localStorage.getItem("glimpse") ?? "{}");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Without storage the system's theme holds.
}

// A module that is missing, as while the hub is replaced by its next release, keeps all of them from running.
addEventListener("error", () => setTimeout(() => {
  const failed = /** @type {HTMLElement | null} */ (document.querySelector(".splash > [hidden]"));
  if (!failed) return;
  failed.hidden = false;
  failed.querySelector("button")?.addEventListener("click", () => location.reload());
}, 2_000), true);
