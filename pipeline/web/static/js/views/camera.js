/** One camera: what it sees now, how well it is read, and what its faces showed over time. */

import { ask } from "../api.js";
import { every, h, shown, text } from "../dom.js";
import { feed, latest, now } from "../feed.js";
import { lasted, moment, number } from "../format.js";
import { english, t, term } from "../i18n.js";
import { icon, severityShape, stateShape } from "../icons.js";
import { sights, stateOf } from "../parts/camera_tile.js";
import { picture, pictureMode } from "../parts/picture.js";
import { sharesTable } from "../parts/shares_table.js";
import { timelineChart } from "../parts/timeline.js";
import { figure, heading, nothing, refusal } from "../parts/words.js";
import { go, to } from "../router.js";

const RANGES = { "10m": 600, "1h": 3600, "6h": 21600 };
const POINTS = 240;
const LISTED = 8;

export function show(main, { id, query, signal }) {
  const gone = nothing(t("camera.gone", { camera: id }));
  const state = conditionPart();
  const numbers = numbersPart();
  const mode = pictureMode();
  const live = picture(id, { signal });
  const counts = countsPart();
  const update = () => {
    const camera = latest.cameras.find((one) => one.camera_id === id);
    mode.update();
    shown(gone, latest.status !== null && !camera);
    if (!camera) return;
    state.update(camera);
    numbers.update(camera);
    counts.update(camera);
  };
  main.append(
    heading(id, h("a", { class: "more", href: to("cameras") }, icon("back"), t("cameras.all"))),
    gone,
    state.element,
    h(
      "div",
      { class: "camera-grid" },
      h(
        "section",
        { class: "card", "aria-label": t("picture") },
        live.element,
        mode.element,
        h("p", {}, h("a", { class: "more", href: to("zones", id) }, t("camera.zones"))),
      ),
      h("section", { class: "card", "aria-label": t("camera.figures") }, numbers.element, counts.element),
    ),
    timelinePart(id, query, signal),
  );
  feed.addEventListener("status", update, { signal });
  feed.addEventListener("connection", update, { signal });
  update();
}

function conditionPart() {
  const shape = stateShape();
  const word = h("strong", {});
  const sight = h("span", {});
  const advice = h("p", { class: "advice", lang: english() });
  const condition = h("p", { class: "condition" }, shape.element, word, sight);
  return {
    element: h("div", { class: "camera-state" }, condition, advice),
    update(camera) {
      condition.dataset.state = camera.state;
      shape.update(camera.state);
      text(word, stateOf(camera));
      text(sight, sights(camera));
      text(advice, camera.advice);
      shown(advice, Boolean(camera.advice));
    },
  };
}

function numbersPart() {
  const parts = {
    analysed: figure(t("figure.analysed")),
    incoming: figure(t("figure.incoming")),
    age: figure(t("figure.age")),
    faces: figure(t("figure.faces")),
    clock: figure(t("figure.clock")),
    detail: figure(t("figure.detail")),
  };
  return {
    element: h(
      "dl",
      { class: "figures" },
      Object.values(parts).map((part) => part.element),
    ),
    update(camera) {
      parts.analysed.update(t("per.second", { n: number(camera.fps_analysed, 1) }));
      parts.incoming.update(t("per.second", { n: number(camera.fps_in, 1) }));
      parts.age.update(camera.age_s === null ? t("none") : lasted(camera.age_s));
      parts.faces.update(number(camera.faces));
      const skew =
        camera.skew_s === null ? "" : ` (${camera.skew_s < 0 ? "−" : "+"}${lasted(Math.abs(camera.skew_s))})`;
      parts.clock.update(camera.clock ? term("clock", camera.clock) + skew : t("none"));
      parts.detail.update(term("detail", camera.detail));
    },
  };
}

/** Frames and what became of them: those that were dropped by reason, and reconnections by cause. */
function countsPart() {
  const body = h("tbody", {});
  const element = h("table", { class: "counts" }, h("caption", {}, t("counts")), body);
  let before = "";
  return {
    element,
    update(camera) {
      const rows = [
        [t("counts.frames"), camera.frames],
        [t("counts.analysed"), camera.analysed],
        ...Object.entries(camera.drops).map(([reason, many]) => [
          t("counts.drop", { reason: term("drop", reason) }),
          many,
        ]),
        [t("counts.lost"), camera.lost],
        [t("counts.late"), camera.late],
        ...Object.entries(camera.reconnects).map(([cause, many]) => [
          t("counts.reconnect", { cause: term("cause", cause) }),
          many,
        ]),
      ];
      const names = rows.map(([name]) => name).join("\n");
      if (names !== before)
        body.replaceChildren(...rows.map(([name]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}))));
      before = names;
      rows.forEach(([, many], place) => text(body.rows[place].cells[1], number(many)));
    },
  };
}

/** The timeline with the choice of its range; it follows the present unless the address names a past. */
function timelinePart(id, query, signal) {
  const fixed = query.has("from") && query.has("to") ? [Number(query.get("from")), Number(query.get("to"))] : null;
  let range = RANGES[query.get("range")] ? query.get("range") : "10m";
  let following = fixed === null;
  const label = t("timeline.of", { camera: id });
  const chart = timelineChart({ label, signal });
  const table = sharesTable(label);
  const listed = h("ul", { class: "recent" });
  const problem = h("div", {});
  const note = h("p", { class: "aside", hidden: following }, t("timeline.past"));

  async function refresh() {
    if (latest.lostSince !== null || !latest.status) return;
    try {
      const [from, until] = following ? await span() : fixed;
      const timeline = await ask("api/timeline", { query: { camera: id, from, to: until, points: POINTS }, signal });
      problem.replaceChildren();
      chart.update(timeline);
      table.update(timeline);
      listed.replaceChildren(...latestFirst(timeline.alerts).slice(0, LISTED).map(alertLine));
    } catch (error) {
      if (error.name !== "AbortError") problem.replaceChildren(refusal(error));
    }
  }

  /** The last so many seconds; a camera that is a file has a time of its own, which only the server knows. */
  async function span() {
    const camera = latest.cameras.find((one) => one.camera_id === id);
    const file = camera?.clock === "media";
    const end = file ? (await ask("api/timeline", { query: { camera: id, points: 1 }, signal })).to : now();
    return [Math.max(0, end - RANGES[range]), end];
  }

  const choose = (name) => {
    range = name;
    following = true;
    shown(note, false);
    go(to("cameras", id, { range }), { replace: true });
    buttons.forEach((button) => button.setAttribute("aria-pressed", button.value === range));
    refresh();
  };
  const buttons = Object.keys(RANGES).map((name) =>
    h(
      "button",
      { type: "button", value: name, "aria-pressed": String(following && name === range), onclick: () => choose(name) },
      t(`range.${name}`),
    ),
  );
  every(2000, () => following && refresh(), signal);
  feed.addEventListener("status", refresh, { signal, once: true });
  refresh();
  return h(
    "section",
    { class: "card", "aria-labelledby": "timeline-title" },
    h(
      "header",
      { class: "heading" },
      h("h2", { id: "timeline-title" }, t("timeline")),
      h("div", { class: "segments", role: "group", "aria-label": t("range") }, buttons),
    ),
    note,
    problem,
    chart.element,
    listed,
    table.element,
  );
}

const latestFirst = (alerts) => [...alerts].sort((a, b) => b.started - a.started);

function alertLine(alert) {
  return h(
    "li",
    {},
    h(
      "a",
      { href: to("alerts", alert.alert_id) },
      severityShape(alert.severity),
      h("span", { class: "unseen" }, term("severity", alert.severity)),
      h("span", { class: "name" }, alert.rule),
      h("span", { class: "where" }, term("status", alert.status)),
      h("span", { class: "when" }, moment(alert.started)),
    ),
  );
}
