/**
 * Polygons over a picture, to be drawn and moved with a mouse, a finger or keys.
 *
 * Drawing: a click sets a corner, a click on the first one closes; with keys the arrows move a cross, Space sets a
 * corner, Enter closes, Backspace takes one back, Esc gives up. Afterwards each corner is a button: arrows move it
 * (with Shift further, with Alt less), Delete removes it, Insert or + adds one behind it.
 */

import { announce } from "../announce.js";
import { s } from "../dom.js";
import { number } from "../format.js";
import { t } from "../i18n.js";
import { corner, FEWEST, inside, middle, moved, shifted, split, without } from "../polygon.js";

const STEP = 0.01;
const NEAR_PX = 14;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const stride = (event) => STEP * (event.shiftKey ? 5 : event.altKey ? 0.1 : 1);
const spoken = ([x, y]) => `${number(x, 3)} / ${number(y, 3)}`;

/**
 * A layer to lie over `stage`. `shapes()` gives what there is, `selected()` the one that shows its corners;
 * `before()` is told that something will change, `changed(shape, points, settled)`, `select(shape)` and
 * `drawn(kind, points)` what did; a sketch that is given up is drawn as null.
 */
export function drawingLayer(stage, { shapes, selected, before, changed, select, drawn, signal }) {
  const element = s("svg", { class: "drawing-layer", role: "group", "aria-label": t("zones.layer") });
  let size = [1, 1];
  let sketch = null;
  let held = null;

  const watcher = new ResizeObserver(() => {
    size = [stage.clientWidth || 1, stage.clientHeight || 1];
    element.setAttribute("viewBox", `0 0 ${size[0]} ${size[1]}`);
    draw();
  });
  watcher.observe(stage);
  signal.addEventListener("abort", () => watcher.disconnect());

  const px = ([x, y]) => [x * size[0], y * size[1]];
  const path = (points) => points.map((point) => px(point).join(",")).join(" ");
  const at = (event) => {
    const box = element.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  const near = (a, b) => Math.hypot(...px(a).map((value, axis) => value - px(b)[axis])) < NEAR_PX;

  function draw() {
    const focused = document.activeElement?.closest?.(".drawing-layer") ? document.activeElement.dataset.key : null;
    element.classList.toggle("sketching", sketch !== null);
    element.replaceChildren(...shapes().map(outline), ...(sketch ? sketched() : handles(selected())));
    if (focused) element.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  function outline(shape) {
    const [x, y] = px(middle(shape.points));
    return s(
      "g",
      { class: `shape-${shape.kind}`, "data-selected": shape === selected() },
      s("polygon", { points: path(shape.points) }),
      s("text", { x, y, "text-anchor": "middle", "dominant-baseline": "middle" }, shape.name),
    );
  }

  function handles(shape) {
    if (!shape) return [];
    const edges = shape.points.map((_, place) => {
      const [a, b] = [shape.points[place], shape.points[(place + 1) % shape.points.length]];
      const [cx, cy] = px([(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]);
      return s("circle", { class: "between", cx, cy, r: 5, "data-edge": place });
    });
    const corners = shape.points.map((point, place) => {
      const [cx, cy] = px(point);
      const label = t("zones.corner", { n: place + 1, all: shape.points.length, name: shape.name, at: spoken(point) });
      const attributes = {
        class: "handle",
        tabindex: 0,
        role: "button",
        "aria-label": label,
        "data-key": `corner-${place}`,
        "data-corner": place,
      };
      return s(
        "g",
        attributes,
        s("circle", { class: "touch", cx, cy, r: 20 }),
        s("circle", { class: "dot", cx, cy, r: 7 }),
      );
    });
    return [...edges, ...corners];
  }

  function sketched() {
    const { kind, points, cross, pointer } = sketch;
    const open = pointer && points.length ? [...points, pointer] : points;
    const [x, y] = px(cross);
    const label = t("zones.cross", { at: spoken(cross), n: points.length });
    return [
      s("polyline", { class: `sketch shape-${kind}`, points: path(open) }),
      ...points.map((point, place) => {
        const [cx, cy] = px(point);
        return s("circle", { class: place ? "dot" : "dot first", cx, cy, r: place ? 5 : 8 });
      }),
      s(
        "g",
        { class: "cross", tabindex: 0, role: "button", "aria-label": label, "data-key": "cross" },
        s("path", { d: `M${x - 14} ${y}H${x + 14}M${x} ${y - 14}V${y + 14}` }),
      ),
    ];
  }

  function finish() {
    if (sketch.points.length < FEWEST) return announce(t("zones.too.few"));
    const { kind, points } = sketch;
    sketch = null;
    drawn(kind, points);
    draw();
  }

  function place(point) {
    const { points } = sketch;
    if (points.length >= FEWEST && near(point, points[0])) return finish();
    if (!points.length || !near(point, points.at(-1))) sketch = { ...sketch, points: [...points, corner(...point)] };
    draw();
  }

  element.addEventListener(
    "pointerdown",
    (event) => {
      if (event.button !== 0) return;
      const point = at(event);
      if (sketch) {
        event.preventDefault();
        place(point);
        return;
      }
      const shape = selected();
      const { corner: index, edge } = event.target.closest("[data-corner],[data-edge]")?.dataset ?? {};
      if (index !== undefined) held = { shape, corner: Number(index) };
      else if (edge !== undefined) {
        before();
        changed(shape, split(shape.points, Number(edge)), false);
        held = { shape, corner: Number(edge) + 1, begun: true };
      } else {
        const hit = [...shapes()].reverse().find((one) => inside(one.points, point));
        if (!hit) return;
        if (hit !== shape) select(hit);
        held = { shape: hit, from: point, points: hit.points };
      }
      element.setPointerCapture(event.pointerId);
      draw();
      if (held.corner !== undefined) element.querySelector(`[data-corner="${held.corner}"]`)?.focus();
      event.preventDefault();
    },
    { signal },
  );
  element.addEventListener(
    "pointermove",
    (event) => {
      const point = at(event);
      if (sketch) {
        sketch = { ...sketch, pointer: corner(...point) };
        draw();
      } else if (held) {
        const { shape, from, points } = held;
        if (!held.begun) before();
        held.begun = true;
        const next = from
          ? shifted(points, [point[0] - from[0], point[1] - from[1]])
          : moved(shape.points, held.corner, point);
        changed(shape, next, false);
        draw();
      }
    },
    { signal },
  );
  for (const name of ["pointerup", "pointercancel"]) {
    element.addEventListener(
      name,
      () => {
        if (held) changed(held.shape, held.shape.points, true);
        held = null;
      },
      { signal },
    );
  }

  const sketchKeys = {
    " ": () => place(sketch.cross),
    Enter: finish,
    Escape: () => api.cancel(),
    Backspace() {
      sketch = { ...sketch, points: sketch.points.slice(0, -1) };
      draw();
    },
  };

  function keyInSketch(event) {
    const arrow = ARROWS[event.key];
    if (arrow) {
      const [x, y] = sketch.cross;
      sketch = {
        ...sketch,
        cross: corner(x + arrow[0] * stride(event) * 2, y + arrow[1] * stride(event) * 2),
        pointer: null,
      };
      sketch.pointer = sketch.cross;
      draw();
      announce(spoken(sketch.cross));
    } else if (event.key in sketchKeys) sketchKeys[event.key]();
    else return false;
    return true;
  }

  function keyAtCorner(event, shape, index) {
    const arrow = ARROWS[event.key];
    let points = null;
    if (arrow) {
      const [x, y] = shape.points[index];
      points = moved(shape.points, index, [x + arrow[0] * stride(event), y + arrow[1] * stride(event)]);
      announce(spoken(points[index]));
    } else if (event.key === "Delete" || event.key === "Backspace") points = without(shape.points, index);
    else if (event.key === "Insert" || event.key === "+") points = split(shape.points, index);
    if (!points) return false;
    before();
    changed(shape, points, true);
    draw();
    return true;
  }

  element.addEventListener(
    "keydown",
    (event) => {
      const handle = event.target.closest("[data-corner]");
      const done = sketch
        ? keyInSketch(event)
        : handle && keyAtCorner(event, selected(), Number(handle.dataset.corner));
      if (!done) return;
      event.preventDefault();
      event.stopPropagation();
    },
    { signal },
  );

  const api = {
    element,
    draw,
    get sketching() {
      return sketch?.kind ?? null;
    },
    /** Begin a new polygon; the keyboard is at the cross. */
    begin(kind) {
      sketch = { kind, points: [], cross: [0.5, 0.5], pointer: null };
      draw();
      element.querySelector(".cross").focus({ preventScroll: true });
    },
    cancel() {
      sketch = null;
      draw();
      drawn(null, null);
    },
  };
  return api;
}
