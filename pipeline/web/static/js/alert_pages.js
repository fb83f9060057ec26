/** Alerts that match a filter, fetched page by page as they are wanted, and kept up to date from the stream. */

import { ask } from "./api.js";

const PAGE = 200;
const SHOWN = ["firing", "resolved"];
/** Without a choice of status: what never fired is noise to most. */

const SPANS = { hour: 3600, day: 86400, week: 604800 };

/** What the API is asked for a filter: { status, rule, camera, severity, acknowledged, time, from, to }. */
export function queryOf(filter) {
  const { status, time, from, to, ...rest } = filter;
  const span = SPANS[time];
  return {
    ...rest,
    status: status ? [status] : SHOWN,
    from: span ? Math.floor(Date.now() / 1000) - span : time === "between" ? seconds(from) : null,
    to: time === "between" ? seconds(to) : null,
  };
}

const seconds = (local) => (local ? new Date(local).getTime() / 1000 : null);

/** Whether a transition that just came belongs to what the filter shows. */
export function matches(filter, alert) {
  const { status, rule, camera, severity, acknowledged, time, to } = filter;
  if (status ? alert.status !== status : !SHOWN.includes(alert.status)) return false;
  if ((rule && alert.rule !== rule) || (camera && alert.camera_id !== camera)) return false;
  if ((severity && alert.severity !== severity) || acknowledged === "true") return false;
  return time !== "between" || !to || alert.ts <= seconds(to);
}

/** The pages: `changed()` is called whenever `items` are others. */
export function alertPages(filter, { changed, failed, signal }) {
  const query = queryOf(filter);
  const known = new Map();
  let cursor = null;
  let asking = false;
  const pages = {
    items: [],
    complete: false,
    /** Fetch the next page, if there is one. */
    async more() {
      if (asking || pages.complete) return;
      asking = true;
      try {
        const answer = await ask("api/alerts", { query: { ...query, limit: PAGE, cursor }, signal });
        for (const alert of answer.items) add(alert);
        cursor = answer.next;
        pages.complete = cursor === null;
        changed();
      } catch (error) {
        if (error.name !== "AbortError") failed(error);
      } finally {
        asking = false;
      }
    },
    /** Take in a newer state of an alert that is there; says whether it was. */
    update(alert) {
      const place = pages.items.findIndex((one) => one.alert_id === alert.alert_id);
      if (place < 0) return false;
      pages.items[place] = { ...pages.items[place], ...alert };
      changed();
      return true;
    },
    /** Put new alerts on top. */
    prepend(alerts) {
      const fresh = alerts.filter((alert) => !known.has(alert.alert_id));
      for (const alert of fresh) known.set(alert.alert_id, true);
      pages.items.unshift(...fresh);
      changed();
      return fresh.length;
    },
  };
  function add(alert) {
    if (known.has(alert.alert_id)) return;
    known.set(alert.alert_id, true);
    pages.items.push(alert);
  }
  return pages;
}
