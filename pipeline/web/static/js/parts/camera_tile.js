/** One camera in a strip of many: what it does, how fast, how old, what it shows, what to do about it. */

import { attribute, h, shown, text } from "../dom.js";
import { latest } from "../feed.js";
import { lasted, number, roughly } from "../format.js";
import { english, t, term } from "../i18n.js";
import { stateShape } from "../icons.js";
import { to } from "../router.js";

/** What the faces of a camera show, in words: `2 × happiness, unknown`. */
export function sights(camera) {
  if (camera.state !== "live") return "";
  if (!camera.faces) return t("camera.nobody");
  const counts = new Map();
  for (const label of camera.labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].map(([label, many]) => (many > 1 ? `${many} × ` : "") + term("expression", label)).join(", ");
}

/** A camera's state and its cause in words; where nothing is heard any more, what it was. */
export function stateOf(camera) {
  const words = term("state", camera.state) + (camera.cause ? ` · ${term("cause", camera.cause)}` : "");
  return latest.lostSince === null ? words : t("state.was", { words });
}

/** Makes tiles with their names as headings of a level: { element, update(camera) }. */
export const cameraTile = (heading) => (first) => {
  const shape = stateShape();
  const state = h("span", { class: "state" });
  const rate = h("span", {});
  const age = h("span", {});
  const sight = h("p", { class: "sight" });
  const advice = h("p", { class: "advice", lang: english() });
  const element = h(
    "li",
    { class: "tile" },
    h("a", { href: to("cameras", first.camera_id) }, h(heading, { class: "name" }, first.camera_id)),
    h("p", { class: "condition" }, shape.element, state),
    h("p", { class: "rates" }, rate, age),
    sight,
    advice,
  );
  return {
    element,
    update(camera) {
      const live = camera.state === "live";
      attribute(element, "data-state", camera.state);
      attribute(element, "data-unwell", live && Boolean(camera.advice));
      shape.update(camera.state);
      text(state, stateOf(camera));
      text(
        rate,
        live ? t("camera.rate", { analysed: number(camera.fps_analysed, 1), incoming: number(camera.fps_in, 1) }) : "",
      );
      text(
        age,
        camera.age_s === null
          ? ""
          : live
            ? t("camera.age", { span: lasted(camera.age_s) })
            : t("camera.silent", { span: roughly(camera.age_s) }),
      );
      text(sight, sights(camera));
      text(advice, camera.advice);
      shown(advice, Boolean(camera.advice));
      shown(sight, !camera.advice);
    },
  };
};
