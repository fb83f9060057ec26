/** Says things to those who hear the page instead of seeing it, and not more often than one can listen. */

import { h } from "./dom.js";

const EVERY_MS = 5000;

const place = h("div", { class: "unseen", role: "status", "aria-live": "polite" });
let waiting = [];
let due = 0;

/** Where it is said; belongs into the page once. */
export const mouth = place;

/** Say a sentence soon. Several that come together are handed to `together`, which makes one of them. */
export function announce(sentence, together = (sentences) => sentences.at(-1)) {
  waiting.push(sentence);
  clearTimeout(announce.timer);
  announce.timer = setTimeout(
    () => {
      place.textContent = waiting.length > 1 ? together(waiting) : waiting[0];
      waiting = [];
      due = Date.now() + EVERY_MS;
    },
    Math.max(150, due - Date.now()),
  );
}
