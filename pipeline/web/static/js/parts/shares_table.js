/** A timeline as a table, for those who read rather than look. */

import { h } from "../dom.js";
import { ordered, UNKNOWN } from "../expressions.js";
import { clock, number, percent } from "../format.js";
import { t, term } from "../i18n.js";
import { tableRows } from "../timeline_data.js";

const ROWS = 60;

/** The table, closed at first and filled only while it is open: { element, update(timeline) }. */
export function sharesTable(caption) {
  const room = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption });
  let timeline = null;
  const element = h(
    "details",
    { class: "as-table", ontoggle: () => fill() },
    h("summary", {}, t("timeline.table")),
    room,
  );
  const fill = () => element.open && timeline && room.replaceChildren(table(timeline, caption));
  return {
    element,
    update(next) {
      timeline = next;
      fill();
    },
  };
}

function table(timeline, caption) {
  const labels = [...ordered(Object.keys(timeline.shares)), UNKNOWN];
  const head = [t("timeline.time"), t("timeline.faces.head"), ...labels.map((label) => term("expression", label))];
  return h(
    "table",
    {},
    h("caption", { class: "unseen" }, caption),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        head.map((words) => h("th", { scope: "col" }, words)),
      ),
    ),
    h(
      "tbody",
      {},
      tableRows(timeline, ROWS).map((row) => line(row, labels)),
    ),
  );
}

function line(row, labels) {
  const time = h("th", { scope: "row" }, clock(row.from));
  if (!row.shares) {
    const absent = row.faces === null ? t("timeline.unseen") : t("camera.nobody");
    const words = row.gap ? t("timeline.gap", { reason: term("gap", row.gap) }) : absent;
    return h("tr", {}, time, h("td", { colspan: labels.length + 1, class: "aside" }, words));
  }
  return h(
    "tr",
    {},
    time,
    h("td", {}, number(row.faces, 1)),
    labels.map((label) => h("td", {}, percent(row.shares[label]))),
  );
}
