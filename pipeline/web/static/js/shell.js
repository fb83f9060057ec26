/** What is around every view: the bar on top, the ways to the views, and the word when the connection is lost. */

import { announce, mouth } from "./announce.js";
import { attribute, h, s, shown, text } from "./dom.js";
import { feed, latest } from "./feed.js";
import { firing, list } from "./firing.js";
import { clock, lasted, zone } from "./format.js";
import { t, term } from "./i18n.js";
import { icon } from "./icons.js";
import { choices } from "./parts/choices.js";
import { helpDialog } from "./parts/help.js";
import { route, to } from "./router.js";

const PLACES = ["now", "alerts", "cameras", "zones", "rules", "replay"];
const STALE = "stale";

let following = new AbortController();

/** Build the frame anew in the language that is spoken; `changed` is told of another one. */
export function frame({ changed }) {
  following.abort();
  following = new AbortController();
  const { signal } = following;
  const main = h("main", { id: "main", tabindex: "-1" });
  const help = helpDialog(changed);
  const ways = PLACES.map((name) => way(name));
  const lost = lostBanner();
  document.body.replaceChildren(
    h("a", { class: "skip", href: "#main", onclick: (event) => skip(event, main) }, t("skip")),
    top({ help, changed, signal }),
    h(
      "nav",
      { class: "ways", "aria-label": t("views") },
      h(
        "ul",
        {},
        ways.map((one) => h("li", {}, one.element)),
      ),
    ),
    lost.element,
    main,
    mouth,
    help.element,
  );
  const refresh = () => {
    ways.forEach((one) => one.update());
    titled();
  };
  firing.addEventListener("change", refresh, { signal });
  feed.addEventListener("alert", ({ detail }) => tell(detail), { signal });
  feed.addEventListener("connection", lost.update, { signal });
  const timer = setInterval(lost.update, 1000);
  signal.addEventListener("abort", () => clearInterval(timer));
  lost.update();
  return {
    help: help.open,
    /** Empty the room for a view, and mark the way that leads to it. */
    room(name) {
      main.replaceChildren();
      main.className = `view ${name ?? "login"}`;
      document.body.classList.toggle("locked", name === null);
      ways.forEach((one) => one.update());
      titled();
      return main;
    },
  };
}

function skip(event, main) {
  event.preventDefault();
  main.focus();
}

function top({ help, changed, signal }) {
  const purpose = h("p", { class: "purpose" });
  const when = h("time", {});
  const pulse = h(
    "p",
    { class: "pulse" },
    s("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" }, s("circle", { cx: 5, cy: 5, r: 4 })),
    when,
  );
  feed.addEventListener("status", () => text(purpose, latest.status.purpose), { signal });
  if (latest.status) text(purpose, latest.status.purpose);
  const tick = () => {
    attribute(pulse, "data-state", latest.lostSince ? "lost" : latest.heard ? "live" : "wait");
    const word = latest.lostSince ? t("live.lost") : t("live.on");
    text(when, latest.heard ? `${word} ${clock(latest.heard / 1000)} ${zone()}` : t("live.wait"));
  };
  const timer = setInterval(tick, 1000);
  signal.addEventListener("abort", () => clearInterval(timer));
  feed.addEventListener("connection", tick, { signal });
  feed.addEventListener("status", tick, { signal });
  tick();
  return h(
    "header",
    { class: "top" },
    h(
      "a",
      { class: "mark", href: to("now") },
      h("img", { src: "static/icon.svg", alt: "", width: 28, height: 28 }),
      "mien",
    ),
    purpose,
    pulse,
    choices(changed),
    h("button", { class: "bare", type: "button", onclick: help.open, "aria-label": t("help.open") }, icon("help")),
  );
}

function way(name) {
  const count = h("span", { class: "count" });
  const element = h("a", { href: to(name) }, icon(name), h("span", { class: "word" }, t(`view.${name}`)), count);
  return {
    element,
    update() {
      attribute(element, "aria-current", route().name === name ? "page" : null);
      const many = name === "now" ? list().length : 0;
      shown(count, many > 0);
      text(count, many ? String(many) : "");
    },
  };
}

function titled() {
  const many = list().length;
  const title = `${many ? `(${many}) ` : ""}${t(`view.${route().name}`)} · mien`;
  if (document.title !== title) document.title = title;
}

/** The unmistakable word that what is seen is old. The words for the ear come once, the seconds only for the eye. */
function lostBanner() {
  const sentence = h("span", { class: "sentence", role: "alert" });
  const ago = h("span", { class: "ago", "aria-hidden": "true" });
  const element = h("div", { class: "lost", hidden: true }, icon("lost"), h("p", {}, sentence, " ", ago));
  return {
    element,
    update() {
      const since = latest.lostSince;
      document.body.classList.toggle(STALE, since !== null);
      shown(element, since !== null);
      text(sentence, since === null ? "" : t("lost.since", { time: clock(since / 1000) }));
      if (since !== null) text(ago, t("lost.ago", { span: lasted(Math.round((Date.now() - since) / 1000)) }));
    },
  };
}

function tell(alert) {
  if (alert.status !== "firing" || alert.silenced_by || alert.reason === "repeat") return;
  const title = alert.annotations.title || alert.rule;
  announce(t("say.alert", { severity: term("severity", alert.severity), title }), (many) =>
    t("say.alerts", { n: many.length, last: many.at(-1) }),
  );
}
