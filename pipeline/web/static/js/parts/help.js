/** The help: which keys do what, and the switch for them. */

import { remove, session } from "../api.js";
import { h } from "../dom.js";
import { t } from "../i18n.js";
import { icon } from "../icons.js";
import { keysOn, setKeys } from "../keys.js";
import { choices } from "./choices.js";

const KEYS = [
  ["1 … 6", "help.views"],
  ["j  k", "help.move"],
  ["Enter", "help.enter"],
  ["Esc", "help.esc"],
  ["a", "help.ack"],
  ["u", "help.undo"],
  ["/", "help.filter"],
  ["?", "help.help"],
];

/** A dialog, closed: { element, open }; `changed` is told of another language. */
export function helpDialog(changed) {
  const signOut = async () => {
    element.close();
    await remove("api/session").catch(() => {});
    session.dispatchEvent(new Event("locked"));
  };
  const off = h("input", { type: "checkbox", checked: keysOn(), onchange: () => setKeys(off.checked) });
  const element = h(
    "dialog",
    { class: "help", "aria-labelledby": "help-title", onclick: (event) => event.target === element && element.close() },
    h(
      "div",
      { class: "sheet" },
      h(
        "header",
        {},
        h("h2", { id: "help-title" }, t("help.title")),
        h(
          "button",
          { class: "bare", type: "button", "aria-label": t("close"), onclick: () => element.close() },
          icon("close"),
        ),
      ),
      h(
        "table",
        {},
        h(
          "thead",
          { class: "unseen" },
          h("tr", {}, h("th", { scope: "col" }, t("help.key")), h("th", { scope: "col" }, t("help.does"))),
        ),
        h(
          "tbody",
          {},
          KEYS.map(([key, what]) =>
            h(
              "tr",
              {},
              h(
                "th",
                { scope: "row" },
                key.split("  ").map((one) => h("kbd", {}, one)),
              ),
              h("td", {}, t(what)),
            ),
          ),
        ),
      ),
      h("p", { class: "aside" }, t("help.zones")),
      h("label", { class: "switch" }, off, " ", t("help.on")),
      choices(changed),
      session.needed ? h("button", { type: "button", class: "small", onclick: signOut }, t("login.out")) : null,
    ),
  );
  return { element, open: () => element.showModal() };
}
