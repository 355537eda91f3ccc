// Before the first paint: the theme that was chosen, else the system's.
const root = document.documentElement;
const media = matchMedia("(prefers-color-scheme: dark)");
function applyTheme() {
  let chosen = null;
  try { chosen = localStorage.getItem("theme"); } catch { /* storage is off: the system's theme */ }
  root.dataset.theme = chosen || (media.matches ? "dark" : "light");
}
applyTheme();
media.addEventListener("change", applyTheme);
