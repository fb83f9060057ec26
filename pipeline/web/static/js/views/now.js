/** Now: what fires, what the cameras do, and whether what is behind them works. Made to be read from across the room. */

import { ask } from "../api.js";
import { attribute, every, h, keyed, shown, text } from "../dom.js";
import { feed, latest, now } from "../feed.js";
import { firing, list } from "../firing.js";
import { lasted, moment, number, roughly } from "../format.js";
import { t, term } from "../i18n.js";
import { icon, severityShape } from "../icons.js";
import { cameraTile } from "../parts/camera_tile.js";
import { figure, place, severity, statusChip, title } from "../parts/words.js";
import { to } from "../router.js";

const SHOWN = 6;
const RECENT = 6;

export function show(main, { signal }) {
  const verdict = verdictPart();
  const cards = h("ul", { class: "firing", "aria-label": t("now.firing") });
  const updateCards = keyed(cards, (alert) => alert.alert_id, card);
  const more = h("a", { class: "more", href: to("alerts", null, { status: "firing" }) });
  const tiles = h("ul", { class: "tiles" });
  const updateTiles = keyed(tiles, (camera) => camera.camera_id, cameraTile("h3"));
  const health = healthPart();
  const recent = recentPart();
  main.append(
    h("h1", { class: "unseen" }, t("view.now")),
    verdict.element,
    cards,
    more,
    h("section", { "aria-labelledby": "now-cameras" }, h("h2", { id: "now-cameras" }, t("view.cameras")), tiles),
    h("div", { class: "halves" }, recent.element, health.element),
  );
  const update = () => {
    const alerts = list();
    verdict.update(alerts);
    updateCards(alerts.slice(0, SHOWN));
    shown(more, alerts.length > SHOWN);
    text(more, t("now.more", { n: alerts.length - SHOWN }));
    updateTiles(latest.cameras);
    health.update();
  };
  feed.addEventListener("status", update, { signal });
  feed.addEventListener("connection", update, { signal });
  firing.addEventListener("change", () => (update(), recent.refresh(signal)), { signal });
  every(1000, () => verdict.update(list()), signal);
  update();
  recent.refresh(signal);
}

/** The one sentence that says how things are. */
function verdictPart() {
  const words = h("p", { class: "words" });
  const detail = h("p", { class: "detail" });
  const drawing = h("div", { class: "drawing", "aria-hidden": "true" });
  const element = h(
    "section",
    { class: "verdict", "aria-label": t("now.verdict") },
    drawing,
    h("div", {}, words, detail),
  );
  return {
    element,
    update(alerts) {
      const [kind, sentence, more] = verdictOf(alerts);
      const severity = kind === "firing" ? alerts[0].severity : null;
      if (element.dataset.kind !== kind || element.dataset.severity !== (severity ?? undefined)) {
        element.dataset.kind = kind;
        attribute(element, "data-severity", severity);
        drawing.replaceChildren(
          severity ? severityShape(severity) : icon({ quiet: "quiet", lost: "lost" }[kind] ?? "cameras"),
        );
      }
      text(words, sentence);
      text(detail, more);
    },
  };
}

function verdictOf(alerts) {
  if (!latest.status) return ["wait", t("live.wait"), ""];
  if (latest.lostSince !== null)
    return ["lost", t("now.unknown"), t("now.unknown.more", { time: moment(latest.lostSince / 1000) })];
  const cameras = latest.cameras;
  const seen = cameras.filter((camera) => camera.state === "live").length;
  const watching = t("now.watching", { seen, n: cameras.length, rules: latest.status.rules.count });
  if (alerts.length) return ["firing", t("now.fires", { n: alerts.length }), watching];
  if (seen < cameras.length)
    return ["partly", t("now.partly"), t("now.partly.more", { n: cameras.length - seen, all: cameras.length })];
  return ["quiet", t("now.quiet"), watching];
}

/** One alert that fires, big and plain. */
function card(first) {
  const name = h("h2", { class: "title" });
  const rule = h("code", {});
  const where = h("span", { class: "where" });
  const since = h("span", { class: "since" });
  const noted = h("span", { class: "noted" });
  const grade = h("span", { class: "grade" });
  const element = h(
    "li",
    {},
    h(
      "a",
      { class: "card alert", href: to("alerts", first.alert_id) },
      h("p", { class: "row" }, grade, since),
      name,
      h("p", { class: "row" }, where, noted),
      rule,
    ),
  );
  return {
    element,
    update(alert) {
      if (element.dataset.severity !== alert.severity) {
        element.dataset.severity = alert.severity;
        grade.replaceChildren(severity(alert.severity));
      }
      text(name, title(alert));
      text(rule, alert.rule);
      shown(rule, !title(alert).includes(alert.rule));
      text(where, place(alert));
      text(since, t("now.since", { time: moment(alert.starts_at), span: roughly(now() - alert.starts_at) }));
      attribute(element, "data-quiet", Boolean(alert.acknowledged_at || alert.silenced_by));
      text(noted, alert.acknowledged_at ? t("acknowledged") : alert.silenced_by ? t("silenced") : "");
    },
  };
}

/** What ended lately. */
function recentPart() {
  const rows = h("ul", { class: "recent" });
  const none = h("p", { class: "nothing" }, t("now.none"));
  const updateRows = keyed(rows, (alert) => alert.alert_id, recentRow);
  return {
    element: h(
      "section",
      { "aria-labelledby": "now-recent" },
      h("h2", { id: "now-recent" }, t("now.recent")),
      rows,
      none,
      h("a", { class: "more", href: to("alerts") }, t("now.all")),
    ),
    async refresh(signal) {
      const found = await ask("api/alerts", { query: { status: "resolved", limit: RECENT }, signal }).catch(() => null);
      if (found === null || signal.aborted) return;
      updateRows(found.items);
      shown(none, found.items.length === 0);
    },
  };
}

function recentRow(first) {
  const status = statusChip();
  const name = h("span", { class: "name" }, title(first));
  const when = h("span", { class: "when" });
  const element = h(
    "li",
    {},
    h(
      "a",
      { href: to("alerts", first.alert_id) },
      severityShape(first.severity),
      h("span", { class: "unseen" }, term("severity", first.severity)),
      name,
      h("span", { class: "where" }, place(first)),
      when,
    ),
  );
  return {
    element,
    update(alert) {
      status.update(alert.status);
      text(
        when,
        t("now.lasted", { time: moment(alert.starts_at), span: lasted((alert.ends_at ?? alert.ts) - alert.starts_at) }),
      );
    },
  };
}

/** The store, the sinks and the rules: what an alert needs to arrive. */
function healthPart() {
  const items = h("ul", { class: "health" });
  const update = keyed(items, (item) => item.name, healthRow);
  const uptime = figure(t("health.uptime"));
  const version = figure(t("health.version"));
  return {
    element: h(
      "section",
      { "aria-labelledby": "now-health" },
      h("h2", { id: "now-health" }, t("health")),
      items,
      h("dl", { class: "figures" }, uptime.element, version.element),
    ),
    update() {
      const status = latest.status;
      if (!status) return;
      update([...storeItem(status), ...status.sinks.map(sinkItem), rulesItem(status.rules)]);
      uptime.update(lasted(Math.floor(status.uptime_s)));
      version.update(status.version);
    },
  };
}

const storeItem = (status) => [
  {
    name: t("health.store"),
    good: !status.store_error,
    words: status.store_error || status.store || t("health.memory"),
    foreign: Boolean(status.store_error),
  },
];
const sinkItem = (sink) => ({
  name: sink.name,
  good: !sink.error,
  words: sink.error || (sink.waiting ? t("health.waiting", { n: number(sink.waiting) }) : t("health.delivered")),
});
const rulesItem = (rules) => ({
  name: t("view.rules"),
  good: !rules.error,
  words: rules.error
    ? t("health.refused", { why: rules.error })
    : t("health.rules", { n: rules.count, version: rules.version }),
});

function healthRow() {
  const name = h("span", { class: "name" });
  const words = h("span", { class: "words" });
  const word = h("span", { class: "word" });
  const element = h("li", {}, word, name, words);
  return {
    element,
    update(item) {
      element.dataset.good = item.good;
      text(word, item.good ? t("health.good") : t("health.bad"));
      text(name, item.name);
      text(words, item.words);
    },
  };
}
