/** The words of the page, one catalogue per language in lang/, all with the same keys. */

import { prefer, preferred } from "./preferences.js";

export const LANGUAGES = { en: "English", zh: "中文" };

let words = {};
let plural = new Intl.PluralRules("en");

/** The language that is spoken: `en` or `zh`. */
export let language = "en";

/** The language the viewer chose, or else the first of the browser's that there is a catalogue for. */
export function wanted() {
  const chosen = preferred("language", null);
  if (chosen in LANGUAGES) return chosen;
  const known = navigator.languages.map((tag) => tag.split("-")[0]).find((tag) => tag in LANGUAGES);
  return known ?? "en";
}

/** Speak a language from now on; `keep` makes it the viewer's choice. */
export async function speak(code, { keep = false } = {}) {
  const answer = await fetch(new URL(`../lang/${code}.json`, import.meta.url));
  words = await answer.json();
  language = code;
  plural = new Intl.PluralRules(code);
  document.documentElement.lang = code === "zh" ? "zh-Hans" : code;
  if (keep) prefer("language", code);
}

/**
 * The text for a key, with {names} filled in: t("alerts.new", { n: 2 }).
 * A text with several forms is chosen by `n`. A key without a text gives the key, which tests don't let pass.
 */
export function t(key, values = {}) {
  let found = words[key];
  if (found === undefined) return key;
  if (typeof found === "object") found = found[plural.select(values.n)] ?? found.other;
  return found.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** The text for one of a family of words, as `state.live`; a word that is new to the catalogue stands for itself. */
export function term(family, word) {
  return words[`${family}.${word}`] ?? word.replaceAll("_", " ");
}

/** Marks text that the server wrote in English, for what reads the page aloud. */
export const english = () => (language === "en" ? null : "en");
