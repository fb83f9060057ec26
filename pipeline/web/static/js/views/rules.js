/** Rules: what each one says in a sentence, how near it is to firing, and how often it came near. */

import { ask } from "../api.js";
import { every, h, keyed, measure, shown, text } from "../dom.js";
import { latest } from "../feed.js";
import { lasted, moment, percent } from "../format.js";
import { english, t, term } from "../i18n.js";
import { copyable, heading, nothing, place, refusal, severity } from "../parts/words.js";
import { to } from "../router.js";

const EVERY_MS = 1000;
const SHOWN_STATES = 6;
const SHOWN_MISSES = 5;

export function show(main, { id, signal }) {
  const cards = h("ul", { class: "rule-list" });
  const update = keyed(
    cards,
    (rule) => rule.name,
    (rule) => ruleCard(rule, { open: rule.name === id, signal }),
  );
  const problem = h("div", {});
  const none = nothing(t("rules.none"));
  none.hidden = true;
  main.append(heading(t("view.rules")), problem, none, cards);
  let scrolled = id === null;

  async function refresh() {
    if (latest.lostSince !== null) return;
    try {
      const rules = await ask("api/rules", { signal });
      problem.replaceChildren(...(latest.status?.rules.error ? [refusal({ message: latest.status.rules.error })] : []));
      update(rules);
      shown(none, rules.length === 0);
      if (!scrolled) document.getElementById(`rule-${id}`)?.scrollIntoView();
      scrolled = true;
    } catch (error) {
      if (error.name !== "AbortError") problem.replaceChildren(refusal(error));
    }
  }
  every(EVERY_MS, refresh, signal);
}

function ruleCard(first, { open, signal }) {
  const states = h("ul", { class: "states" });
  const updateStates = keyed(states, (state) => `${state.partition} ${state.zone}`, stateRow);
  const rest = h("p", { class: "aside" });
  const misses = h("ol", { class: "misses" });
  const updateMisses = keyed(misses, (miss) => miss.alert_id, missRow);
  const missed = h("section", {}, h("h3", {}, t("rules.nearest")), misses);
  const fired = h("a", { class: "fired", href: to("alerts", null, { rule: first.name }) });
  const summary = h("p", { class: "sentence", lang: english() });
  const yaml = copyable("", { label: t("rules.yaml.of", { rule: first.name }), signal });
  const element = h(
    "li",
    { class: "card rule", id: `rule-${first.name}` },
    h(
      "header",
      {},
      severity(first.severity),
      h("h2", {}, first.name),
      h("span", { class: "aside" }, term("scope", first.scope)),
      fired,
    ),
    summary,
    states,
    rest,
    missed,
    h("details", { open }, h("summary", {}, "YAML"), yaml.element),
  );
  return {
    element,
    update(rule) {
      text(summary, rule.summary);
      const busy = rule.states.filter((state) => state.state !== "idle");
      updateStates(busy.slice(0, SHOWN_STATES));
      const words =
        busy.length > SHOWN_STATES
          ? t("rules.more", { n: busy.length - SHOWN_STATES })
          : busy.length
            ? ""
            : t("rules.idle");
      text(rest, words);
      shown(rest, Boolean(words));
      updateMisses(rule.nearest.slice(0, SHOWN_MISSES));
      shown(missed, rule.nearest.length > 0);
      text(fired, rule.fired ? t("rules.fired", { n: rule.fired, time: moment(rule.last_fired) }) : t("rules.never"));
      yaml.update(rule.yaml);
    },
  };
}

/** How far one scope of a rule is: held so long of the time that is wanted. */
function stateRow() {
  const name = h("span", { class: "where" });
  const word = h("span", { class: "chip" });
  const bar = h("div", { class: "bar", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, h("i", {}));
  const held = h("span", { class: "held" });
  return {
    element: h("li", {}, name, word, bar, held),
    update(state) {
      text(
        name,
        place({ camera_id: state.camera_id, labels: { group: state.partition.split("group:")[1], zone: state.zone } }),
      );
      word.dataset.status = state.state;
      text(word, term("status", state.state));
      setBar(bar, state.for_s ? state.held_s / state.for_s : state.progress, name.textContent);
      const moving = state.state === "pending" || state.state === "firing";
      bar.style.visibility = moving ? "" : "hidden";
      text(held, moving ? heldWord(state) : "");
    },
  };
}

function setBar(bar, progress, name) {
  const share = Math.max(0, Math.min(1, progress ?? 0));
  measure(bar, "done", share);
  bar.setAttribute("aria-valuenow", Math.round(share * 100));
  bar.setAttribute("aria-label", t("rules.progress", { name }));
}

const heldWord = ({ held_s, for_s }) =>
  for_s ? t("rules.held", { held: lasted(held_s), wanted: lasted(for_s) }) : lasted(held_s);

function missRow(miss) {
  const share = h("span", { class: "share" });
  const bar = h("div", { class: "bar small", "aria-hidden": "true" }, h("i", {}));
  const words = h("span", {});
  const where = miss.zone ? `${miss.camera_id} · ${miss.zone}` : miss.camera_id;
  const link = h("a", { href: to("alerts", miss.alert_id) }, moment(miss.ts));
  return {
    element: h("li", {}, link, h("span", { class: "where" }, where), bar, share, words),
    update(next) {
      measure(bar, "done", Math.max(0, Math.min(1, next.progress)));
      text(share, percent(next.progress));
      text(words, `${heldWord(next)} · ${term("reason", next.reason)}`);
    },
  };
}
