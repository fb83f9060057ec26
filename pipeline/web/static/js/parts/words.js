/** Small pieces with words in them that several views show. */

import { attribute, h, text } from "../dom.js";
import { english, t, term } from "../i18n.js";
import { icon, severityShape } from "../icons.js";

/** Where an alert is about: camera, zone, group or the whole site. */
export function place(alert) {
  const where =
    alert.camera_id || (alert.labels?.group ? t("place.group", { name: alert.labels.group }) : t("place.site"));
  return alert.labels?.zone ? `${where} · ${alert.labels.zone}` : where;
}

/** What an alert is called. */
export const title = (alert) => alert.annotations?.title || alert.rule;

/** Shape and word of a severity. */
export function severity(name) {
  return h("span", { class: `severity ${name}` }, severityShape(name), h("span", {}, term("severity", name)));
}

/** A word for where an alert is in its life. */
export function statusChip() {
  const element = h("span", { class: "chip" });
  return {
    element,
    update(status) {
      attribute(element, "data-status", status);
      text(element, term("status", status));
    },
  };
}

/** A sentence of the server's, marked as English where the page is not. */
export const quoted = (tag, attributes, sentence) => h(tag, { lang: english(), ...attributes }, sentence);

/** A heading for the view, told to nobody twice. */
export const heading = (words, ...beside) => h("header", { class: "heading" }, h("h1", {}, words), ...beside);

/** A figure with its name. */
export function figure(name) {
  const value = h("dd", {});
  return { element: h("div", { class: "figure" }, h("dt", {}, name), value), update: (words) => text(value, words) };
}

/** Text to be copied, with the button that does it. */
export function copyable(words, { label, signal }) {
  const code = h("code", {});
  const block = h("pre", { tabindex: "0", "aria-label": label }, code);
  const said = h("span", { role: "status", class: "said" });
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      text(said, t("copied"));
    } catch {
      getSelection().selectAllChildren(code);
      text(said, t("copy.by.hand"));
    }
    setTimeout(() => text(said, ""), 2500);
  };
  const button = h("button", { type: "button", class: "small", onclick: copy, signal }, icon("copy"), t("copy"));
  text(code, words);
  return {
    element: h("div", { class: "copyable" }, block, h("div", { class: "row" }, button, said)),
    update: (next) => text(code, next),
    get text() {
      return code.textContent;
    },
  };
}

/** What is shown where there is nothing. */
export const nothing = (words) => h("p", { class: "nothing" }, words);

/** What is shown where an answer was a no. */
export const refusal = (error) => quoted("p", { class: "error", role: "alert" }, error.message);
