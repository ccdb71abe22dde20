/** Before the first paint: the theme chosen in this browser, so that the page does not flash. */
try {
  const { theme } = JSON.parse(localStorage.getItem("glimpse") ?? "{}");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Without storage the system's theme holds.
}
