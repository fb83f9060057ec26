/** One line of the list of alerts. */

import { attribute, h, text } from "../dom.js";
import { lasted, moment } from "../format.js";
import { t, term } from "../i18n.js";
import { severityShape } from "../icons.js";
import { place, statusChip, title } from "./words.js";

/** A row to be used again and again: { element, focus, update(alert) }; `address(alert)` says where it leads. */
export function alertRow(address, chosen) {
  const grade = h("span", { class: "grade" });
  const name = h("span", { class: "name" });
  const where = h("span", { class: "where" });
  const status = statusChip();
  const when = h("span", { class: "when" });
  const span = h("span", { class: "span" });
  const seen = h("span", { class: "seen" });
  const focus = h("a", {}, grade, name, where, status.element, when, span, seen);
  const element = h("li", { class: "alert-row" }, focus);
  let alert = null;
  focus.addEventListener("focus", () => chosen(alert));
  return {
    element,
    focus,
    update(next) {
      if (alert?.severity !== next.severity) {
        grade.replaceChildren(
          severityShape(next.severity),
          h("span", { class: "unseen" }, term("severity", next.severity)),
        );
      }
      alert = next;
      attribute(focus, "href", address(alert));
      text(name, title(alert));
      text(where, place(alert));
      status.update(alert.status);
      text(when, moment(alert.starts_at));
      text(
        span,
        alert.status === "firing" ? t("alert.goes.on") : lasted((alert.ends_at ?? alert.ts) - alert.starts_at),
      );
      text(seen, alert.acknowledged_at ? t("acknowledged") : alert.silenced_by ? t("silenced") : "");
      attribute(element, "data-acknowledged", Boolean(alert.acknowledged_at));
    },
  };
}
