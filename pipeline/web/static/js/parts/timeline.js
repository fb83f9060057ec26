/**
 * What a camera showed over time: shares of expressions stacked to 100 %, gaps hatched, alerts as bars above.
 * Under it stand the figures at the pointer, or at the place to which the arrow keys went.
 */

import uPlot from "../../vendor/uplot/uPlot.esm.js";
import { attribute, h, text } from "../dom.js";
import { colourOf, UNKNOWN } from "../expressions.js";
import { latest } from "../feed.js";
import { clock, minute, number, percent, zone } from "../format.js";
import { t, term } from "../i18n.js";
import { colour, colours } from "../theme.js";
import { gapIn, layersOf, placeOf, sharesAt, stacked } from "../timeline_data.js";

const HEIGHT = 260;
const LANE = 10;
/** Height of the bar of one alert, in CSS pixels. */
const LANES = 3;
const FONT = "12px system-ui, sans-serif";

/** A chart: { element, update(timeline) }. `label` says to the ear what it is. */
export function timelineChart({ label, signal }) {
  const room = h("div", { class: "chart", role: "img", tabindex: "0", "aria-label": label });
  const read = readout();
  const element = h("div", { class: "timeline" }, read.element, room);
  let layers = layersOf(latest.status?.expressions ?? []);
  let chart = null;
  let timeline = null;
  read.labels(layers);

  function update(next) {
    timeline = next;
    const known = Object.keys(next.shares);
    if (!chart && known.length) read.labels((layers = layersOf(known))); // a recording may be of another network
    const { edges, tops } = stacked(next, layers);
    const data = [edges, ...tops.reverse()];
    if (chart) chart.setData(data, false);
    else chart = new uPlot(options(), data, room);
    chart.setScale("x", { min: next.from, max: next.to });
    readAt(chart);
  }

  /** Read the figures where the pointer is. */
  function readAt(plot) {
    const { left } = plot.cursor;
    read.at(timeline, left >= 0 ? placeOf(timeline, plot.posToVal(left, "x")) : null);
  }

  function options() {
    const line = () => colour("line");
    const axis = {
      stroke: () => colour("ink-2"),
      grid: { stroke: line, width: 1 },
      ticks: { stroke: line, width: 1 },
      font: FONT,
    };
    return {
      width: Math.max(280, room.clientWidth),
      height: HEIGHT,
      padding: [LANES * (LANE + 2) + 6, 24, 0, null],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: {
        x: { time: true, auto: false, range: () => [timeline.from, timeline.to] },
        y: { auto: false, range: [0, 1] },
      },
      axes: [
        {
          ...axis,
          values: (_, ticks) =>
            (ticks ?? []).map(
              (tick, place) => (ticks[1] - ticks[0] < 60 ? clock(tick) : minute(tick)) + (place ? "" : ` ${zone()}`),
            ),
          space: 90,
        },
        { ...axis, values: (_, ticks) => (ticks ?? []).map(percent), splits: [0, 0.25, 0.5, 0.75, 1], size: 52 },
      ],
      series: [{}, ...[...layers].reverse().map((name) => layer(name))],
      hooks: {
        drawClear: [(plot) => gaps(plot, timeline)],
        draw: [(plot) => alerts(plot, timeline)],
        setCursor: [readAt],
      },
    };
  }

  const layer = (name) => ({
    stroke: () => colour("surface"),
    width: 0.5,
    fill: (plot) =>
      name === UNKNOWN ? hatch(plot.ctx, colour("x-unknown"), colour("surface")) : colour(colourOf(name, layers)),
    paths: uPlot.paths.stepped({ align: 1 }),
    points: { show: false },
    spanGaps: false,
  });

  room.addEventListener("keydown", (event) => walk(event, chart, timeline), { signal });
  room.addEventListener("blur", () => chart?.setCursor({ left: -10, top: -10 }), { signal });
  const watcher = new ResizeObserver(() => chart?.setSize({ width: Math.max(280, room.clientWidth), height: HEIGHT }));
  watcher.observe(room);
  colours.addEventListener("change", () => chart?.redraw(), { signal });
  signal.addEventListener("abort", () => {
    watcher.disconnect();
    chart?.destroy();
  });
  return { element, update };
}

const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };

function walk(event, chart, timeline) {
  if (!chart || !timeline.start.length || !(event.key in STEPS)) return;
  event.preventDefault();
  const last = timeline.start.length - 1;
  const { left } = chart.cursor;
  const before = left >= 0 ? placeOf(timeline, chart.posToVal(left, "x")) : null;
  const place = Math.max(0, Math.min(last, before === null ? last : before + STEPS[event.key]));
  const middle = timeline.start[place] + timeline.width_s / 2;
  chart.setCursor({ left: chart.valToPos(middle, "x"), top: 10 }, true);
}

/** The figures at one place: time, faces, and the share of each label. */
function readout() {
  const when = h("span", { class: "when" });
  const faces = h("span", { class: "faces" });
  const parts = h("ul", { class: "parts" });
  const values = new Map();
  return {
    element: h("div", { class: "readout" }, h("p", {}, when, faces), parts),
    labels(names) {
      values.clear();
      parts.replaceChildren(
        ...names.map((name) => {
          const value = h("span", { class: "value" });
          values.set(name, value);
          const dot = h("i", { class: "dot", "data-expression": name, "aria-hidden": "true" });
          dot.classList.add(colourOf(name, names));
          return h("li", {}, dot, h("span", {}, term("expression", name)), value);
        }),
      );
    },
    at(timeline, place) {
      const shares = place === null ? null : sharesAt(timeline, place);
      for (const [name, value] of values) {
        text(value, shares ? percent(shares[name]) : "");
        attribute(value, "data-zero", shares !== null && shares[name] === 0);
      }
      if (place === null) {
        text(when, t("timeline.range", { from: clock(timeline.from), to: clock(timeline.to), zone: zone() }));
        text(faces, t("timeline.point"));
        return;
      }
      const start = timeline.start[place];
      text(when, `${clock(start)} – ${clock(start + timeline.width_s)}`);
      const gap = gapIn(timeline, start, start + timeline.width_s);
      text(
        faces,
        shares ? t("timeline.faces", { n: number(timeline.faces[place], 1) }) : absence(timeline, place, gap),
      );
    },
  };
}

/** Why there are no shares: nobody looked, or nobody was there. */
function absence(timeline, place, gap) {
  if (gap) return t("timeline.gap", { reason: term("gap", gap) });
  return timeline.faces[place] === null ? t("timeline.unseen") : t("camera.nobody");
}

function gaps(plot, timeline) {
  if (!timeline) return;
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.fillStyle = hatch(ctx, colour("gap"), colour("sunken"));
  for (const gap of timeline.gaps) {
    const left = plot.valToPos(gap.from_ts, "x", true);
    ctx.fillRect(left, bbox.top, Math.max(2, plot.valToPos(gap.to_ts, "x", true) - left), bbox.height);
  }
  ctx.restore();
}

function alerts(plot, timeline) {
  if (!timeline?.alerts.length) return;
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  const ends = new Array(LANES).fill(-Infinity);
  const regions = new Path2D();
  ctx.save();
  for (const alert of [...timeline.alerts].sort((a, b) => a.started - b.started)) {
    const end = alert.ends_at ?? (alert.status === "firing" ? timeline.to : (alert.fired_at ?? alert.started));
    const left = Math.max(bbox.left, plot.valToPos(alert.started, "x", true));
    const right = Math.min(bbox.left + bbox.width, Math.max(plot.valToPos(end, "x", true), left + 4 * ratio));
    if (right < bbox.left || left > bbox.left + bbox.width) continue;
    const lane = Math.max(
      0,
      ends.findIndex((taken) => taken < left),
    );
    ends[lane] = right;
    const top = bbox.top - (LANES - lane) * (LANE + 2) * ratio - 2 * ratio;
    ctx.fillStyle = colour(`${alert.severity}-mark`);
    ctx.fillRect(left, top, right - left, LANE * ratio);
    ctx.fillStyle = colour("ink");
    for (const edge of [left, right - ratio]) ctx.fillRect(edge, top, ratio, bbox.top + bbox.height - top);
    regions.rect(left, bbox.top, right - left, bbox.height);
  }
  ctx.globalAlpha = 0.06;
  ctx.fill(regions); // all at once: where two overlap, the colours below stay the same
  ctx.restore();
}

const patterns = new Map();

/** Diagonal lines, for what isn't known. */
function hatch(ctx, lines, ground) {
  const name = `${lines} ${ground} ${devicePixelRatio}`;
  if (!patterns.has(name)) {
    const size = Math.round(8 * devicePixelRatio);
    const tile = new OffscreenCanvas(size, size);
    const pen = tile.getContext("2d");
    pen.fillStyle = ground;
    pen.fillRect(0, 0, size, size);
    pen.strokeStyle = lines;
    pen.lineWidth = 1.5 * devicePixelRatio;
    for (const shift of [-size, 0, size]) {
      pen.moveTo(shift, size);
      pen.lineTo(shift + size, 0);
    }
    pen.stroke();
    patterns.set(name, ctx.createPattern(tile, "repeat"));
  }
  return patterns.get(name);
}
