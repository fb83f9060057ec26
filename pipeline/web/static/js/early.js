// Runs before the first paint, so that the page never flashes in the wrong colours.
try {
  const theme = localStorage.getItem("mien.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is forbidden here: the browser's own preference decides.
}
