/** Set the theme chosen in this browser before the first paint, so that the page does not flash. And say so if the page fails to load. */
try {
  const { theme } = JSON.parse(localStorage.getItem("glimpse") ?? "{}");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Without storage the system's theme applies.
}

// If one module is missing, as while the hub is replaced by its next release, none of them runs.
addEventListener("error", () => setTimeout(() => {
  const failed = /** @type {HTMLElement | null} */ (document.querySelector(".splash > [hidden]"));
  if (!failed) return;
  failed.hidden = false;
  failed.querySelector("button")?.addEventListener("click", () => location.reload());
}, 2_000), true);
