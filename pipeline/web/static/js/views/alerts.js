/** Alerts: what fired, filtered, with the whole story of each, and a place for a note. */

import { alertPages, matches } from "../alert_pages.js";
import { ask } from "../api.js";
import { h, shown, text } from "../dom.js";
import { feed, latest } from "../feed.js";
import { refresh as refreshFiring } from "../firing.js";
import { number, zone } from "../format.js";
import { t } from "../i18n.js";
import { keys } from "../keys.js";
import { alertDetails } from "../parts/alert_details.js";
import { filterForm, filterOf } from "../parts/alert_filter.js";
import { alertRow } from "../parts/alert_row.js";
import { virtual } from "../parts/virtual.js";
import { heading, refusal } from "../parts/words.js";
import { go, to } from "../router.js";

const AHEAD = 60;
/** So many rows before the end the next page is asked for. */

export function show(main, { id, query, signal }) {
  let filter = filterOf(query);
  let pages = null;
  let looking = new AbortController();
  let fresh = [];
  let opened = null;

  const address = (alert) => to("alerts", alert?.alert_id ?? null, filter);
  const list = virtual({
    label: t("view.alerts"),
    make: () => alertRow(address, (alert) => list.choose(pages.items.indexOf(alert), { focus: false })),
    near: (last) => pages && last > pages.items.length - AHEAD && pages.more(),
    signal,
  });
  const count = h("p", { class: "aside", role: "status" });
  const none = h("p", { class: "nothing", hidden: true }, t("alerts.none"));
  const news = h("button", { class: "news", type: "button", hidden: true, onclick: () => takeNews() });
  const problem = h("div", {});
  const room = h("section", { class: "details card", "aria-label": t("alert.details"), hidden: true });
  const form = h("div", {});
  main.append(
    heading(t("view.alerts"), count),
    form,
    h("div", { class: "split" }, h("div", { class: "list" }, news, problem, none, columns(), list.element), room),
  );

  function look() {
    looking.abort();
    looking = new AbortController();
    fresh = [];
    shown(news, false);
    problem.replaceChildren();
    pages = alertPages(filter, { changed, failed, signal: AbortSignal.any([signal, looking.signal]) });
    list.set([], { complete: false, keep: false });
    pages.more();
  }

  function changed() {
    list.set(pages.items, { complete: pages.complete });
    shown(none, pages.complete && pages.items.length === 0);
    const n = number(pages.items.length);
    text(count, t(pages.complete ? "alerts.count" : "alerts.count.more", { n }));
  }

  function failed(error) {
    const again = h(
      "button",
      { class: "small", type: "button", onclick: () => (problem.replaceChildren(), pages.more()) },
      t("again"),
    );
    problem.replaceChildren(refusal(error), again);
  }

  function takeNews() {
    const many = pages.prepend(fresh);
    fresh = [];
    shown(news, false);
    if (!list.atTop) list.choose(0);
    else list.shifted(list.current ? many : 0);
  }

  function hear(alert) {
    if (!pages || pages.update(alert) || !matches(filter, alert)) return;
    fresh = [alert, ...fresh.filter((one) => one.alert_id !== alert.alert_id)];
    if (list.atTop && !opened && document.activeElement?.closest(".virtual") === null) return takeNews();
    text(news, t("alerts.new", { n: fresh.length }));
    shown(news, true);
  }

  async function open(wish, { focus }) {
    opened?.ending.abort();
    opened = null;
    shown(room, wish !== null);
    main.classList.toggle("opened", wish !== null);
    if (wish === null) {
      list.refresh();
      return null;
    }
    const ending = new AbortController();
    opened = { id: wish, ending, note: null };
    const found = await alertDetails(room, wish, {
      changed: noted,
      close,
      signal: AbortSignal.any([signal, ending.signal]),
    });
    if (!found || opened?.id !== wish) return null;
    opened.note = found.note;
    room.scrollTop = 0;
    if (focus) room.querySelector("h2").focus();
    return found;
  }

  function noted(alert) {
    pages?.update(alert);
    refreshFiring();
  }

  function close() {
    if (!opened) return false;
    go(to("alerts", null, filter));
    list.choose(list.current);
    return true;
  }

  /** Open the current alert and do something with its note. */
  async function withNote(work) {
    const alert = pages?.items[list.current];
    if (!opened && !alert) return;
    if (!opened) {
      go(address(alert), { replace: true });
      await open(alert.alert_id, { focus: false });
    }
    if (opened?.note) work(opened.note);
  }

  const draw = (rules) => {
    form.replaceChildren(
      filterForm(filter, {
        rules,
        cameras: latest.cameras.map((camera) => camera.camera_id),
        signal,
        changed(next) {
          filter = next;
          go(to("alerts", opened?.id ?? null, filter), { replace: true });
          look();
        },
      }),
    );
  };

  feed.addEventListener("alert", ({ detail }) => hear(detail), { signal });
  keys(
    {
      j: () => list.move(document.activeElement?.closest(".virtual") ? 1 : 0),
      k: () => list.move(document.activeElement?.closest(".virtual") ? -1 : 0),
      a: () => void withNote((note) => note.write()),
      u: () => void withNote((note) => note.undo()),
      "/": () => {
        const box = form.querySelector("details");
        box.open = true;
        box.querySelector("select").focus();
      },
      Escape: () => close(),
    },
    signal,
  );
  draw([]);
  ask("api/rules", { signal }).then(
    (rules) => draw(rules.map((rule) => rule.name)),
    () => {},
  );
  look();
  open(id, { focus: false });

  return {
    /** Another alert, or another filter, in the same list. */
    follow(wish) {
      const next = filterOf(wish.query);
      if (JSON.stringify(next) !== JSON.stringify(filter)) return false;
      if (wish.id !== (opened?.id ?? null)) open(wish.id, { focus: true });
      return true;
    },
  };
}

function columns() {
  const names = ["alerts.what", "alerts.where", "alerts.state", "alerts.started", "alerts.lasted"];
  return h(
    "div",
    { class: "columns", "aria-hidden": "true" },
    h("span", {}),
    names.map((name, place) => h("span", {}, t(name), place === 3 ? ` (${zone()})` : "")),
    h("span", {}),
  );
}
