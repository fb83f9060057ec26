/** Single keys that do something, unless somebody is typing. They can be switched off in the help. */

import { prefer, preferred } from "./preferences.js";

const bound = new Set();

/** Whether single keys do something. */
export const keysOn = () => preferred("keys", "on") === "on";
export const setKeys = (on) => prefer("keys", on ? null : "off");

/** Bind keys to what they do, as { j: next }, until `signal` ends. A key is taken unless that returns false. */
export function keys(table, signal) {
  bound.add(table);
  signal.addEventListener("abort", () => bound.delete(table));
}

const typing = (target) =>
  target.isContentEditable || (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) && target.type !== "checkbox");

addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  if (document.querySelector("dialog[open]")) return;
  if (event.key.length === 1 && !keysOn()) return;
  for (const table of [...bound].reverse()) {
    const action = table[event.key];
    if (action && action(event) !== false) {
      event.preventDefault();
      return;
    }
  }
});
