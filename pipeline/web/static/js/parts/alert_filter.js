/** What to look for among the alerts. The choice stands in the address, so it can be kept and sent. */

import { h, shown, text } from "../dom.js";
import { t, term } from "../i18n.js";

const NAMES = ["status", "rule", "camera", "severity", "acknowledged", "time", "from", "to"];
const STATUSES = ["firing", "resolved", "pending", "broken"];
const SEVERITIES = ["critical", "warning", "notice", "info"];
const TIMES = ["hour", "day", "week", "between"];

/** The filter that stands in the address. */
export function filterOf(query) {
  return Object.fromEntries(NAMES.map((name) => [name, query.get(name) ?? ""]));
}

/** The form; `changed(filter)` is called at every choice. */
export function filterForm(filter, { rules, cameras, changed, signal }) {
  const values = { ...filter };
  const change = (name, value) => {
    values[name] = value;
    shown(between, values.time === "between");
    summarise();
    changed({ ...values });
  };
  const choice = (name, options, word) => {
    const all = values[name] && !options.includes(values[name]) ? [...options, values[name]] : options;
    const select = h(
      "select",
      { id: `filter-${name}`, name, onchange: () => change(name, select.value), signal },
      h("option", { value: "" }, t(`filter.${name}.any`)),
      all.map((value) => h("option", { value, selected: value === values[name] }, word(value))),
    );
    return field(name, select);
  };
  const moment = (name) => {
    const listen = { onchange: (event) => change(name, event.target.value), signal };
    return field(
      name,
      h("input", { id: `filter-${name}`, type: "datetime-local", name, value: values[name], ...listen }),
    );
  };
  const between = h("div", { class: "between" }, moment("from"), moment("to"));
  shown(between, values.time === "between");
  const count = h("span", { class: "count" });
  const summarise = () => {
    const many = NAMES.slice(0, 6).filter((name) => values[name]).length;
    text(count, many ? String(many) : "");
    shown(count, many > 0);
  };
  summarise();
  return h(
    "details",
    { class: "filter", open: matchMedia("(min-width: 60rem)").matches },
    h("summary", {}, t("filter"), " ", count),
    h(
      "form",
      { onsubmit: (event) => event.preventDefault() },
      choice("status", STATUSES, (value) => term("status", value)),
      choice("severity", SEVERITIES, (value) => term("severity", value)),
      choice("rule", rules, (value) => value),
      choice("camera", cameras, (value) => value),
      choice("time", TIMES, (value) => t(`filter.time.${value}`)),
      choice("acknowledged", ["false", "true"], (value) => t(`filter.acknowledged.${value}`)),
      between,
    ),
  );
}

const field = (name, control) =>
  h("div", { class: "field" }, h("label", { for: control.id }, t(`filter.${name}`)), control);
