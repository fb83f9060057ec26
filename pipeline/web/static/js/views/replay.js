/** Replay: the rules of now over what was recorded before, and how that differs from what was told at the time. */

import { ask, post, remove } from "../api.js";
import { every, h, measure, shown, text } from "../dom.js";
import { clock, full, lasted, moment, number, bytes, percent } from "../format.js";
import { t, term } from "../i18n.js";
import { severityShape } from "../icons.js";
import { sharesTable } from "../parts/shares_table.js";
import { timelineChart } from "../parts/timeline.js";
import { heading, nothing, refusal, statusChip } from "../parts/words.js";
import { compared } from "../replay_diff.js";
import { go, to } from "../router.js";

const LOOK_MS = 400;
const RUNNING = new Set(["waiting", "queued", "running"]);

export function show(main, { id, query, signal }) {
  const list = h("ul", { class: "recordings" });
  const problem = h("div", {});
  const result = h("div", { class: "replay-result" });
  main.append(heading(t("view.replay")), h("p", { class: "aside" }, t("replay.why")), problem, list, result);

  async function begin(recording) {
    try {
      const { replay_id: replayId } = await post("api/replays", { recording: recording.name }, { signal });
      go(to("replay", replayId, { recording: recording.name }));
    } catch (error) {
      if (error.name !== "AbortError") problem.replaceChildren(refusal(error));
    }
  }

  ask("api/recordings", { signal }).then(
    (recordings) => {
      const chosen = query.get("recording");
      list.replaceChildren(...recordings.map((one) => recordingCard(one, { chosen: one.name === chosen, begin })));
      if (!recordings.length) list.replaceChildren(h("li", {}, nothing(t("replay.none"))));
    },
    (error) => error.name !== "AbortError" && problem.replaceChildren(refusal(error)),
  );
  if (id !== null) follow(id, result, signal);
}

function recordingCard(recording, { chosen, begin }) {
  return h(
    "li",
    { class: "card recording", "data-chosen": chosen },
    h("h2", {}, recording.name),
    h("p", {}, `${full(recording.from)} – ${clock(recording.to)}`),
    h("p", { class: "aside" }, [lasted(recording.to - recording.from), recording.cameras.join(", "), bytes(recording.bytes)].join(" · ")),
    h("button", { type: "button", class: "main", onclick: () => begin(recording) }, t("replay.run")),
  );
}

/** Follow a replay to its end, then show what came of it. */
function follow(id, room, signal) {
  const address = `api/replays/${encodeURIComponent(id)}`;
  const looking = new AbortController();
  const either = AbortSignal.any([signal, looking.signal]);
  const bar = h("div", { class: "bar", role: "progressbar", "aria-label": t("replay.progress"), "aria-valuemin": 0, "aria-valuemax": 100 }, h("i", {}));
  const words = h("p", { role: "status" });
  const cancel = h("button", { type: "button", class: "small", onclick: () => remove(address, { signal }).catch(() => {}) }, t("replay.cancel"));
  const running = h("section", { class: "card running", "aria-label": t("replay.progress") }, words, bar, cancel);
  room.replaceChildren(running);

  async function look() {
    try {
      const replay = await ask(address, { signal: either });
      measure(bar, "done", replay.progress);
      bar.setAttribute("aria-valuenow", Math.round(replay.progress * 100));
      text(words, `${term("replay.state", replay.state)} · ${percent(replay.progress)}`);
      if (RUNNING.has(replay.state)) return;
      looking.abort();
      shown(running, replay.state !== "done");
      shown(cancel, false);
      if (replay.error) room.append(refusal({ message: replay.error }));
      else if (replay.state === "done") await result(replay, room, signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      looking.abort();
      room.replaceChildren(refusal(error));
    }
  }
  every(LOOK_MS, look, either);
}

async function result(replay, room, signal) {
  const told = await compared(replay, signal).catch(() => null);
  room.append(h("section", { class: "card", "aria-labelledby": "replay-title" }, h("h2", { id: "replay-title" }, t("replay.result")), summary(replay, told), told ? changes(told) : null));
  for (const [camera, timeline] of Object.entries(replay.timelines)) {
    const label = t("timeline.of", { camera });
    const chart = timelineChart({ label, signal });
    const table = sharesTable(label);
    room.append(h("section", { class: "card", "aria-label": label }, h("h2", {}, camera), chart.element, table.element));
    chart.update(timeline);
    table.update(timeline);
  }
}

function summary(replay, told) {
  const fired = replay.alerts.filter((alert) => alert.fired_at !== null);
  const parts = [t("replay.fired", { n: number(fired.length), many: fired.length }), t("replay.rules", { version: replay.rules_version })];
  if (told) parts.push(t("replay.diff", { same: told.same.length, added: told.added.length, removed: told.removed.length }));
  return h("p", {}, parts.join(" · "));
}

/** Every alert of either side, with the word for whether it is new, gone or the same. */
function changes({ added, removed, same }) {
  const rows = [...added.map((alert) => ["added", alert]), ...removed.map((alert) => ["removed", alert]), ...same.map((alert) => ["same", alert])];
  if (!rows.length) return nothing(t("replay.quiet"));
  rows.sort(([, a], [, b]) => a.starts_at - b.starts_at);
  return h("ol", { class: "changes" }, rows.map(([kind, alert]) => changeRow(kind, alert)));
}

function changeRow(kind, alert) {
  const status = statusChip();
  status.update(alert.status);
  return h(
    "li",
    { "data-change": kind },
    h("span", { class: "kind" }, t(`replay.${kind}`)),
    severityShape(alert.severity),
    h("span", { class: "unseen" }, term("severity", alert.severity)),
    h("span", { class: "name" }, alert.annotations?.title || alert.rule),
    h("span", { class: "where" }, alert.camera_id || alert.labels?.group || t("place.site")),
    h("span", { class: "when" }, `${moment(alert.starts_at)} · ${lasted((alert.ends_at ?? alert.ts) - alert.starts_at)}`),
  );
}
