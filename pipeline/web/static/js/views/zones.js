/** Zones: areas for rules and masks for privacy, drawn over the picture, as lines for the configuration. */

import { attribute, h, shown, text } from "../dom.js";
import { feed, latest } from "../feed.js";
import { t } from "../i18n.js";
import { drawingLayer } from "../parts/drawing.js";
import { picture } from "../parts/picture.js";
import { copyable, heading, nothing } from "../parts/words.js";
import { fault, moved } from "../polygon.js";
import { go, to } from "../router.js";
import { zonesYaml } from "../yaml.js";

export function show(main, { id, signal }) {
  const first = () => latest.cameras[0]?.camera_id ?? null;
  const camera = () => latest.cameras.find((one) => one.camera_id === (id ?? first()));
  main.append(heading(t("view.zones")));
  const wait = nothing(t("live.wait"));
  main.append(wait);
  const begin = () => {
    if (!latest.status || main.querySelector(".zones-grid")) return;
    wait.textContent = camera() ? "" : t(id ? "camera.gone" : "cameras.none", { camera: id });
    shown(wait, !camera());
    if (camera()) editor(main, camera(), signal);
  };
  feed.addEventListener("status", begin, { signal });
  begin();
}

const shapesOf = (camera) => [
  ...Object.entries(camera.zones).map(([name, zone]) => ({
    kind: "zone",
    name,
    points: zone.polygon,
    inertia: zone.inertia_s,
  })),
  ...camera.masks.map((points, place) => ({ kind: "mask", name: t("zones.mask", { n: place + 1 }), points })),
];

function editor(main, camera, signal) {
  let shapes = shapesOf(camera);
  let selected = null;
  let past = [];

  const stage = picture(camera.camera_id, { signal });
  const layer = drawingLayer(stage.element, {
    shapes: () => shapes,
    selected: () => selected,
    signal,
    select: choose,
    before: remember,
    changed(shape, points, settled) {
      shape.points = points;
      refresh({ rows: settled });
    },
    drawn(kind, points) {
      if (kind) {
        remember();
        const shape = { kind, name: freeName(kind), points };
        shapes.push(shape);
        choose(shape);
        sideName()?.select();
        sideName()?.focus();
      }
      refresh();
    },
  });
  stage.element.append(layer.element);

  const button = (word, onclick, attributes) => h("button", { type: "button", onclick, ...attributes }, t(word));
  const buttons = {
    zone: button("zones.new", () => begin("zone"), { "aria-pressed": "false" }),
    mask: button("zones.new.mask", () => begin("mask"), { "aria-pressed": "false" }),
    undo: button("zones.undo", undo),
    remove: button("zones.remove", removeSelected),
  };
  const hint = h("p", { class: "hint", role: "status" });
  const list = h("ul", { class: "shapes" });
  const side = h("div", { class: "shape-form" });
  const yaml = copyable("", { label: t("zones.yaml"), signal });
  const cameras = h(
    "select",
    { id: "zones-camera", onchange: () => go(to("zones", cameras.value)) },
    latest.cameras.map((one) =>
      h("option", { value: one.camera_id, selected: one.camera_id === camera.camera_id }, one.camera_id),
    ),
  );
  const sideName = () => side.querySelector("input[name=name]");

  main.append(
    h("p", { class: "aside" }, t("zones.why")),
    h(
      "div",
      { class: "zones-grid" },
      h(
        "div",
        {},
        h(
          "div",
          { class: "tools" },
          h("div", { class: "inline" }, h("label", { for: "zones-camera" }, t("camera")), cameras),
          ...Object.values(buttons),
        ),
        stage.element,
        hint,
      ),
      h(
        "section",
        { class: "card side", "aria-labelledby": "shapes-title" },
        h("h2", { id: "shapes-title" }, t("zones.shapes")),
        list,
        side,
      ),
      h(
        "section",
        { class: "card", "aria-labelledby": "yaml-title" },
        h("h2", { id: "yaml-title" }, t("zones.yaml")),
        h("p", { class: "aside" }, t("zones.paste")),
        yaml.element,
      ),
    ),
  );

  function remember() {
    past.push(structuredClone(shapes));
    if (past.length > 100) past.shift();
  }

  function undo() {
    const before = past.pop();
    if (!before) return;
    const name = selected?.name;
    shapes = before;
    choose(shapes.find((shape) => shape.name === name) ?? null);
  }

  function removeSelected() {
    if (!selected) return;
    remember();
    shapes = shapes.filter((shape) => shape !== selected);
    choose(null);
  }

  function begin(kind) {
    if (layer.sketching === kind) return layer.cancel();
    choose(null);
    layer.begin(kind);
    refresh();
  }

  function choose(shape) {
    selected = shape;
    refresh();
  }

  function freeName(kind) {
    let n = 1;
    const name = () => (kind === "zone" ? `zone-${n}` : t("zones.mask", { n }));
    while (shapes.some((shape) => shape.name === name())) n += 1;
    return name();
  }

  function refresh({ rows = true } = {}) {
    layer.draw();
    text(hint, t(layer.sketching ? "zones.hint.drawing" : selected ? "zones.hint.selected" : "zones.hint"));
    attribute(buttons.zone, "aria-pressed", String(layer.sketching === "zone"));
    attribute(buttons.mask, "aria-pressed", String(layer.sketching === "mask"));
    attribute(buttons.undo, "disabled", past.length === 0);
    attribute(buttons.remove, "disabled", selected === null);
    yaml.update(zonesYaml(camera.camera_id, shapes));
    if (!rows) return;
    list.replaceChildren(
      ...(shapes.length ? shapes.map(shapeButton) : [h("li", { class: "nothing" }, t("zones.none"))]),
    );
    side.replaceChildren(...(selected ? form(selected) : []));
  }

  function shapeButton(shape) {
    const wrong = fault(shape.points);
    return h(
      "li",
      {},
      h(
        "button",
        {
          type: "button",
          class: "bare",
          "aria-pressed": String(shape === selected),
          onclick: () => choose(shape === selected ? null : shape),
        },
        h("i", { class: `swatch ${shape.kind}`, "aria-hidden": "true" }),
        h("span", {}, shape.name),
        h("span", { class: "aside" }, t(`zones.kind.${shape.kind}`)),
        wrong ? h("span", { class: "error" }, t(`zones.fault.${wrong}`)) : null,
      ),
    );
  }

  function form(shape) {
    const error = h("span", { id: "zone-name-error", class: "error", role: "alert" });
    const name = h("input", {
      id: "zone-name",
      name: "name",
      "aria-describedby": "zone-name-error",
      value: shape.name,
      maxlength: 60,
      oninput() {
        const wish = name.value.trim();
        const taken = shapes.some((one) => one !== shape && one.kind === "zone" && one.name === wish);
        text(error, !wish ? t("zones.name.empty") : taken ? t("zones.name.taken") : "");
        if (!wish || taken) return;
        shape.name = wish;
        refresh({ rows: false });
        list.querySelectorAll("button")[shapes.indexOf(shape)].querySelector("span").textContent = wish;
      },
    });
    return [
      shape.kind === "zone" ? h("div", {}, h("label", { for: "zone-name" }, t("zones.name")), name, error) : null,
      h(
        "table",
        { class: "corners" },
        h("caption", {}, t("zones.corners")),
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            ["#", "x", "y"].map((word) => h("th", { scope: "col" }, word)),
          ),
        ),
        h(
          "tbody",
          {},
          shape.points.map((point, place) => cornerRow(shape, point, place)),
        ),
      ),
    ].filter(Boolean);
  }

  function cornerRow(shape, point, place) {
    const field = (axis) => {
      const input = h("input", {
        type: "number",
        min: 0,
        max: 1,
        step: 0.01,
        value: point[axis],
        "aria-label": t("zones.coordinate", { axis: "xy"[axis], n: place + 1 }),
        onchange() {
          remember();
          const next = [...shape.points[place]];
          next[axis] = Number(input.value);
          shape.points = moved(shape.points, place, next);
          input.value = shape.points[place][axis];
          refresh({ rows: false });
        },
      });
      return input;
    };
    return h("tr", {}, h("th", { scope: "row" }, String(place + 1)), h("td", {}, field(0)), h("td", {}, field(1)));
  }

  refresh();
}
