/** All that is known of one alert: its life, its figures, and the note of the person who saw it. */

import { ask, post, remove } from "../api.js";
import { h, text } from "../dom.js";
import { full, lasted, moment, number, percent } from "../format.js";
import { t, term } from "../i18n.js";
import { icon } from "../icons.js";
import { to } from "../router.js";
import { copyable, place, refusal, severity, statusChip, title } from "./words.js";

const SHARES = new Set(["coverage", "ratio", "share", "min_coverage"]);
const NOTE = 500;
const AROUND_S = 120;

/** Show an alert in `room`; `changed(alert)` is told of a note, `close` leaves. */
export async function alertDetails(room, id, { changed, close, signal }) {
  const address = `api/alerts/${encodeURIComponent(id)}`;
  let found;
  try {
    found = await ask(address, { signal });
  } catch (error) {
    if (error.name !== "AbortError") room.replaceChildren(closing(close), refusal(error));
    return null;
  }
  if (signal.aborted) return null;
  const note = notePart(found.alert, { address, changed, signal });
  room.replaceChildren(
    head(found.alert, close),
    h("h2", { tabindex: "-1" }, title(found.alert)),
    h("p", {}, place(found.alert), " · ", h("code", {}, found.alert.rule)),
    ...[found.alert.annotations?.summary].filter(Boolean).map((words) => h("p", { class: "summary" }, words)),
    note.element,
    times(found.alert),
    h("h3", {}, t("alert.life")),
    life(found.transitions),
    h("h3", {}, t("alert.evidence")),
    evidence(found.alert.evidence),
    links(found.alert),
    h("h3", {}, t("alert.explain")),
    copyable(`mien rules explain ${found.alert.alert_id}`, { label: t("alert.explain"), signal }).element,
  );
  return { alert: found.alert, note };
}

const closing = (close) =>
  h("button", { class: "bare close", type: "button", onclick: close, "aria-label": t("close") }, icon("close"));

function head(alert, close) {
  const status = statusChip();
  status.update(alert.status);
  return h("div", { class: "head" }, severity(alert.severity), status.element, closing(close));
}

function pair(name, value, attributes = {}) {
  return h("div", {}, h("dt", {}, name), h("dd", attributes, value));
}

function times(alert) {
  const end = alert.ends_at ?? (alert.status === "firing" ? null : alert.ts);
  return h(
    "dl",
    { class: "facts" },
    pair(t("alert.started"), full(alert.starts_at)),
    pair(t("alert.fired"), full(alert.fired_at)),
    end === null ? null : pair(t("alert.ended"), full(end)),
    pair(t("alert.lasted"), end === null ? t("alert.goes.on") : lasted(end - alert.starts_at)),
    alert.silenced_by ? pair(t("silenced"), alert.silenced_by) : null,
    alert.config ? pair(t("alert.config"), h("code", {}, alert.config)) : null,
  );
}

function life(transitions) {
  const steps = transitions.map((one) => {
    const status = statusChip();
    status.update(one.status);
    return h(
      "li",
      { "data-status": one.status },
      h("time", {}, moment(one.ts)),
      status.element,
      h("span", {}, term("reason", one.reason), one.silenced_by ? ` · ${t("silenced")}: ${one.silenced_by}` : ""),
    );
  });
  return h("ol", { class: "life" }, steps);
}

function evidence(figures) {
  const rows = Object.entries(figures ?? {});
  if (!rows.length) return h("p", { class: "nothing" }, t("alert.no.evidence"));
  return h(
    "dl",
    { class: "facts figures" },
    rows.map(([name, value]) => pair(term("evidence", name), shownAs(name, value))),
  );
}

function shownAs(name, value) {
  if (name.endsWith("_s")) return lasted(value);
  if (SHARES.has(name)) return percent(value);
  if (name.endsWith("_px")) return t("pixels", { n: number(value) });
  return number(value, Number.isInteger(value) ? 0 : 2);
}

function links(alert) {
  if (!alert.camera_id) return null;
  const middle = alert.fired_at ?? alert.starts_at;
  const query = { from: Math.floor(alert.starts_at - AROUND_S), to: Math.ceil((alert.ends_at ?? middle) + AROUND_S) };
  return h("p", {}, h("a", { class: "more", href: to("cameras", alert.camera_id, query) }, t("alert.timeline")));
}

/** Acknowledge with a note, read it, take it back. */
function notePart(first, { address, changed, signal }) {
  const element = h("section", { class: "note", "aria-label": t("note") });
  const error = h("p", { class: "error", role: "alert" });
  let alert = first;

  async function send(work) {
    text(error, "");
    try {
      alert = { ...alert, ...((await work()) ?? {}) };
      draw();
      changed(alert);
    } catch (refused) {
      text(error, refused.message);
    }
  }
  const acknowledge = (words) => send(() => post(`${address}/acknowledgement`, { note: words }, { signal }));
  const takeBack = () =>
    send(async () => ({
      acknowledged_at: null,
      note: "",
      ...((await remove(`${address}/acknowledgement`, { signal })) ?? {}),
    }));

  function draw() {
    if (alert.acknowledged_at) {
      element.replaceChildren(
        h(
          "p",
          { class: "done" },
          icon("quiet"),
          h("span", {}, t("note.done", { time: moment(alert.acknowledged_at) })),
        ),
        ...(alert.note ? [h("blockquote", {}, alert.note)] : []),
        h("button", { class: "small", type: "button", onclick: takeBack }, t("note.undo")),
        error,
      );
      return;
    }
    const field = h("textarea", { id: "note", rows: 2, maxlength: NOTE, placeholder: t("note.example") });
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      acknowledge(field.value.trim());
    });
    const form = h(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          acknowledge(field.value.trim());
        },
      },
      h("label", { for: "note" }, t("note.field")),
      field,
      h("button", { class: "main", type: "submit" }, t("note.acknowledge")),
    );
    element.replaceChildren(form, error);
  }
  draw();
  return {
    element,
    /** Go to the field for the note; an alert that has one is left alone. */
    write: () => element.querySelector("textarea")?.focus(),
    undo: () => alert.acknowledged_at && takeBack(),
  };
}
