/** What came of a replay: how many fired, what other rules change, and each camera on a time line. */

import { h } from "../dom.js";
import { clock, full, lasted, number } from "../format.js";
import { t, term } from "../i18n.js";
import { severityShape } from "../icons.js";
import { sharesTable } from "./shares_table.js";
import { timelineChart } from "./timeline.js";
import { nothing, place, title } from "./words.js";

const LISTED = 200;

/** The sections for a replay that is done. */
export function replayResult(replay, signal) {
  return [
    summary(replay),
    ...Object.entries(replay.timelines).map(([camera, timeline]) => strip(camera, timeline, signal)),
  ];
}

function summary(replay) {
  const { diff } = replay;
  const listed = replay.alerts.slice(0, LISTED);
  const rest = replay.fired - listed.length;
  return h(
    "section",
    { class: "card", "aria-labelledby": "replay-title" },
    h("h2", { id: "replay-title" }, t("replay.result", { name: replay.recording })),
    h("p", {}, `${full(replay.from)} – ${clock(replay.to)}`),
    h(
      "p",
      { class: "outcome" },
      t("replay.fired", { n: replay.fired }),
      " · ",
      t("replay.pending", { n: replay.pending_only }),
      " · ",
      t("replay.rules", { version: replay.rules_version }),
    ),
    diff ? difference(diff) : null,
    h("h3", {}, t("view.alerts")),
    listed.length ? h("ol", { class: "changes" }, listed.map(alertRow)) : nothing(t("replay.quiet")),
    rest > 0 ? h("p", { class: "aside" }, t("now.more", { n: rest })) : null,
  );
}

function difference(diff) {
  const [before, after] = diff.fired.map((many) => number(many));
  const whose = t(diff.compared_with === "in force" ? "replay.against.force" : "replay.against.recording");
  return h(
    "div",
    {},
    h("h3", {}, t("replay.diff")),
    h("p", {}, t("replay.diff.fired", { whose, before, after, same: number(diff.same), n: diff.changes.length })),
    diff.changes.length ? h("ol", { class: "changes" }, diff.changes.slice(0, LISTED).map(changeRow)) : null,
  );
}

function changeRow(change) {
  const life = change.new ?? change.old;
  const kinds = change.kinds.map((kind) => term("replay.kind", kind)).join(", ");
  const moved = change.old && change.new ? `${span(change.old)} → ${span(change.new)}` : span(life);
  return row(
    kinds,
    life.severity,
    change.rule,
    place({ labels: change.labels, camera_id: change.labels.camera }),
    moved,
    change.kinds[0],
  );
}

const alertRow = (alert) => row(clock(alert.starts_at), alert.severity, title(alert), place(alert), length(alert));

const length = (life) => lasted((life.ends_at ?? life.ts) - life.starts_at);
const span = (life) => `${clock(life.starts_at)} · ${length(life)}`;

function row(kind, severity, name, where, when, change = null) {
  return h(
    "li",
    { "data-change": change },
    h("span", { class: "kind" }, kind),
    severityShape(severity),
    h("span", { class: "unseen" }, term("severity", severity)),
    h("span", { class: "name" }, name),
    h("span", { class: "where" }, where),
    h("span", { class: "when" }, when),
  );
}

function strip(camera, timeline, signal) {
  const label = t("timeline.of", { camera });
  const chart = timelineChart({ label, signal });
  const table = sharesTable(label);
  chart.update(timeline);
  table.update(timeline);
  return h("section", { class: "card", "aria-label": label }, h("h2", {}, camera), chart.element, table.element);
}
