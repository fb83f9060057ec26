/** Which alerts fire now, kept up to date from the stream, and counted against what the server says. */

import { ask } from "./api.js";
import { feed, latest } from "./feed.js";

const MOST = 200;
const LIMIT = 200;

/** Fires `change`. */
export const firing = new EventTarget();

let found = new Map();
let asked = false;
let again = false;

/** Firing alerts: those that nobody has seen or silenced first, then the most severe, then the newest. */
export function list() {
  return [...found.values()].sort(
    (a, b) => quiet(a) - quiet(b) || rank(b.severity) - rank(a.severity) || b.starts_at - a.starts_at,
  );
}

const quiet = (alert) => Number(Boolean(alert.acknowledged_at || alert.silenced_by));

const SEVERITIES = ["info", "notice", "warning", "critical"];
const rank = (severity) => SEVERITIES.indexOf(severity);

/** Follow the feed. */
export function follow() {
  feed.addEventListener("alert", ({ detail }) => change(detail));
  feed.addEventListener("status", () => {
    if (latest.status.firing !== found.size && latest.status.firing < MOST) refresh();
  });
  feed.addEventListener("connection", () => latest.lostSince === null && refresh());
}

/** Ask: at the start, after a note was written, or when the numbers don't agree. */
export async function refresh() {
  again = asked;
  if (asked) return;
  asked = true;
  try {
    const { items } = await ask("api/alerts", { query: { status: "firing", limit: LIMIT } });
    found = new Map(items.map((alert) => [alert.alert_id, alert]));
    firing.dispatchEvent(new Event("change"));
  } catch {
    // The feed says that the connection is lost; the next status asks again.
  } finally {
    setTimeout(() => {
      asked = false;
      if (again) refresh();
    }, 1000);
  }
}

function change(alert) {
  if (alert.status === "firing") found.set(alert.alert_id, { ...found.get(alert.alert_id), ...alert });
  else if (!found.delete(alert.alert_id)) return;
  firing.dispatchEvent(new Event("change"));
}
