/** Cameras: all of them, or one with its live view and its timeline. */

import { h, keyed, shown } from "../dom.js";
import { feed, latest } from "../feed.js";
import { t } from "../i18n.js";
import { cameraTile } from "../parts/camera_tile.js";
import { heading, nothing } from "../parts/words.js";
import { show as showCamera } from "./camera.js";

export function show(main, wish) {
  if (wish.id !== null) return showCamera(main, wish);
  const tiles = h("ul", { class: "tiles" });
  const none = nothing(t("cameras.none"));
  const updateTiles = keyed(tiles, (camera) => camera.camera_id, cameraTile("h2"));
  main.append(heading(t("view.cameras")), tiles, none);
  const update = () => {
    updateTiles(latest.cameras);
    shown(none, latest.status !== null && latest.cameras.length === 0);
  };
  feed.addEventListener("status", update, { signal: wish.signal });
  feed.addEventListener("connection", update, { signal: wish.signal });
  update();
  return {};
}
