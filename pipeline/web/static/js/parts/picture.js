/**
 * The live view: the newest picture as often as it changes, while somebody can see it, and no picture otherwise.
 * Drawn on a canvas, so nothing of it stays in the document.
 */

import { reach } from "../api.js";
import { attribute, every, h, measure, text } from "../dom.js";
import { feed, latest } from "../feed.js";
import { t } from "../i18n.js";

const EVERY_MS = 300;
const WIDTH = 960;

/** A picture of a camera: { element, canvas, why }. `sized(width, height)` is told when its shape is known. */
export function picture(cameraId, { sized, signal }) {
  const canvas = h("canvas", {
    role: "img",
    "aria-label": t("picture.of", { camera: cameraId }),
    width: 16,
    height: 9,
  });
  const words = h("p", { class: "over" }, t("picture.wait"));
  const element = h("div", { class: "picture", "data-empty": "" }, canvas, words);
  let tag = null;
  let visible = false;
  const seen = new IntersectionObserver(([entry]) => (visible = entry.isIntersecting));
  seen.observe(element);
  signal.addEventListener("abort", () => seen.disconnect());

  const say = (sentence) => {
    text(words, sentence);
    attribute(element, "data-empty", Boolean(sentence));
  };

  async function look() {
    if (!visible || latest.lostSince !== null) return;
    if (latest.status?.live === "off") return say(t("picture.off"));
    const camera = latest.cameras.find((one) => one.camera_id === cameraId);
    if (camera?.state !== "live" || !camera.analysed) return say(t("picture.none"));
    const wide = Math.min(WIDTH, Math.round(element.clientWidth * devicePixelRatio));
    const path = `api/cameras/${encodeURIComponent(cameraId)}/picture?width=${Math.max(160, wide)}`;
    try {
      const answer = await reach(path, { signal, cache: "no-store", headers: tag ? { "If-None-Match": tag } : {} });
      if (answer.status === 304) return;
      if (!answer.ok) return say(t("picture.none"));
      tag = answer.headers.get("ETag");
      await draw(await answer.blob());
      say("");
    } catch (error) {
      if (error.name !== "AbortError") say(t("picture.wait"));
    }
  }

  async function draw(blob) {
    const bitmap = await createImageBitmap(blob);
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
      measure(element, "shape", `${bitmap.width} / ${bitmap.height}`);
      sized?.(bitmap.width, bitmap.height);
    }
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
  }

  feed.addEventListener("connection", () => latest.lostSince !== null && say(t("picture.lost")), { signal });
  every(EVERY_MS, look, signal);
  return { element, canvas };
}

/** Which picture it is, and why: the mode of the live view in a word and a sentence. */
export function pictureMode() {
  const word = h("strong", {});
  const why = h("span", {});
  const element = h("p", { class: "mode" }, word, " ", why);
  return {
    element,
    update() {
      const mode = latest.status?.live;
      if (!mode) return;
      text(word, t(`picture.mode.${mode}`));
      text(why, t(`picture.why.${mode}`));
    },
  };
}
