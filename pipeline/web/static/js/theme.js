/** Light, dark, or as the system says. */

import { prefer, preferred } from "./preferences.js";

export const THEMES = ["auto", "light", "dark"];
const dark = matchMedia("(prefers-color-scheme: dark)");

/** Fires `change` when the colours do: what draws on a canvas reads them anew. */
export const colours = new EventTarget();
dark.addEventListener("change", () => colours.dispatchEvent(new Event("change")));

/** The choice: auto, light or dark. */
export const theme = () => preferred("theme", "auto");

/** Choose, and keep the choice. */
export function setTheme(choice) {
  prefer("theme", choice === "auto" ? null : choice);
  if (choice === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
  colours.dispatchEvent(new Event("change"));
}

const probe = new Map();
colours.addEventListener("change", () => probe.clear());

/** The colour that a CSS variable stands for now, as a canvas understands it. */
export function colour(name) {
  if (!probe.has(name)) {
    const element = document.createElement("i");
    element.style.color = `var(--${name})`;
    document.body.append(element);
    probe.set(name, getComputedStyle(element).color);
    element.remove();
  }
  return probe.get(name);
}
