/** Replay: rules over what was recorded before, those in force or others that are only tried here. */

import { ask, post, remove } from "../api.js";
import { every, h, measure, shown, text } from "../dom.js";
import { bytes, clock, full, lasted, moment, percent } from "../format.js";
import { t, term } from "../i18n.js";
import { replayResult } from "../parts/replay_result.js";
import { heading, nothing, quoted, refusal } from "../parts/words.js";
import { go, to } from "../router.js";

const LOOK_MS = 400;

export function show(main, { id, query, signal }) {
  const problem = h("div", {});
  const list = h("ul", { class: "recordings" });
  const past = h("ul", { class: "recent" });
  const earlier = h(
    "section",
    { hidden: true, "aria-labelledby": "replay-past" },
    h("h2", { id: "replay-past" }, t("replay.past")),
    past,
  );
  const rules = rulesField(signal);
  const result = h("div", { class: "replay-result" });
  main.append(
    heading(t("view.replay")),
    h("p", { class: "aside" }, t("replay.why")),
    problem,
    rules.element,
    list,
    result,
    earlier,
  );

  async function begin(recording) {
    try {
      const wish = { recording: recording.name, rules: rules.value() };
      const { replay_id: replayId } = await post("api/replays", wish, { signal });
      go(to("replay", replayId));
    } catch (error) {
      if (error.name !== "AbortError") problem.replaceChildren(refusal(error));
    }
  }

  const failed = (error) => error.name !== "AbortError" && problem.replaceChildren(refusal(error));
  ask("api/recordings", { signal }).then((recordings) => {
    list.replaceChildren(...recordings.map((one) => recordingCard(one, begin)));
    shown(rules.element, recordings.length > 0);
    if (!recordings.length) list.replaceChildren(h("li", {}, nothing(t("replay.none"))));
  }, failed);
  const lookBack = () =>
    ask("api/replays", { signal }).then((replays) => {
      shown(earlier, replays.length > 0);
      past.replaceChildren(...replays.map(replayLine));
    }, failed);
  lookBack();
  let following = new AbortController();
  const look = (replayId) => {
    following.abort();
    following = new AbortController();
    result.replaceChildren();
    const either = AbortSignal.any([signal, following.signal]);
    if (replayId !== null) follow(replayId, result, { ended: lookBack, signal: either });
  };
  look(id);
  return {
    /** Another replay in the same view: what was typed stays. */
    follow(wish) {
      problem.replaceChildren();
      look(wish.id);
      return true;
    },
  };
}

function recordingCard(recording, begin) {
  const usable = recording.from !== null && !recording.problem;
  const facts = usable
    ? [lasted(recording.to - recording.from), recording.cameras.join(", "), bytes(recording.bytes)]
    : [t("replay.empty")];
  return h(
    "li",
    { class: "card recording" },
    h("h2", {}, recording.name),
    usable ? h("p", {}, `${full(recording.from)} – ${clock(recording.to)}`) : null,
    h("p", { class: "aside" }, facts.join(" · ")),
    h("p", { class: "aside" }, recording.purpose),
    recording.problem ? quoted("p", { class: "error" }, recording.problem) : null,
    h("button", { type: "button", class: "main", disabled: !usable, onclick: () => begin(recording) }, t("replay.run")),
  );
}

function replayLine(replay) {
  return h(
    "li",
    {},
    h(
      "a",
      { href: to("replay", replay.replay_id) },
      h("span", {}),
      h("span", { class: "name" }, replay.recording),
      h("span", { class: "where" }, term("replay.state", replay.state)),
      h("span", { class: "when" }, moment(replay.begun)),
    ),
  );
}

/** Other rules to try: the text of a rules file, which begins as the rules in force. */
function rulesField(signal) {
  const field = h("textarea", { id: "replay-rules", rows: 12, class: "code", spellcheck: "false" });
  const element = h(
    "details",
    { class: "other-rules", hidden: true },
    h("summary", {}, t("replay.other")),
    h("label", { for: "replay-rules" }, t("replay.other.why")),
    field,
  );
  const fill = async () => {
    if (!element.open || field.value) return;
    const file = await ask("api/rules/file", { signal }).catch(() => ({ yaml: "" }));
    if (field.value) return; // somebody was quicker
    field.value = file.yaml;
  };
  element.addEventListener("toggle", fill, { signal });
  return { element, value: () => (element.open && field.value.trim() ? field.value : null) };
}

/** Follow a replay to its end, then show what came of it. */
function follow(id, room, { ended, signal }) {
  const address = `api/replays/${encodeURIComponent(id)}`;
  const looking = new AbortController();
  const either = AbortSignal.any([signal, looking.signal]);
  const bar = h(
    "div",
    { class: "bar", role: "progressbar", "aria-label": t("replay.progress"), "aria-valuemin": 0, "aria-valuemax": 100 },
    h("i", {}),
  );
  const words = h("p", { role: "status" });
  const cancel = h(
    "button",
    { type: "button", class: "small", onclick: () => remove(address, { signal }).catch(() => {}) },
    t("replay.cancel"),
  );
  const running = h("section", { class: "card running", "aria-label": t("replay.progress") }, words, bar, cancel);
  room.replaceChildren(running);

  async function look() {
    try {
      const replay = await ask(address, { signal: either });
      measure(bar, "done", replay.progress);
      bar.setAttribute("aria-valuenow", Math.round(replay.progress * 100));
      text(words, `${replay.recording} · ${term("replay.state", replay.state)} · ${percent(replay.progress)}`);
      if (replay.state === "running") return;
      looking.abort();
      ended();
      shown(running, replay.state !== "done");
      shown(cancel, false);
      if (replay.error) room.append(quoted("pre", { class: "error", role: "alert" }, replay.error));
      if (replay.state === "done") room.append(...replayResult(replay, signal));
    } catch (error) {
      if (error.name === "AbortError") return;
      looking.abort();
      room.replaceChildren(refusal(error));
    }
  }
  every(LOOK_MS, look, either);
}
