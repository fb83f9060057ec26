/** How the alerts of a replay differ from those that the store remembers of the same time. */

import { ask } from "./api.js";

const PAGE = 500;
const MOST = 5000;

/** { same, added, removed }: an alert is the same where rule and labels agree and the two overlap in time. */
export async function compared(replay, signal) {
  const then = await stored(replay.from, replay.to, signal);
  return difference(then, episodes(replay.alerts));
}

/** The same for two lists of alerts, one entry each. */
export function difference(before, after) {
  const left = new Set(before);
  const same = [];
  const added = [];
  for (const alert of after) {
    const twin = [...left].find((other) => other.alert_id === alert.alert_id) ?? [...left].find((other) => alike(other, alert));
    (twin ? same : added).push(alert);
    left.delete(twin);
  }
  return { same, added, removed: [...left] };
}

/** One entry per alert that fired, its latest transition. */
export function episodes(transitions) {
  const found = new Map();
  for (const alert of transitions) if (alert.fired_at !== null) found.set(alert.alert_id, alert);
  return [...found.values()];
}

const subject = ({ rule, labels }) =>
  JSON.stringify([rule, ...Object.entries(labels ?? {}).filter(([name]) => name !== "severity").sort()]);
const end = (alert) => alert.ends_at ?? alert.ts;
const alike = (a, b) => subject(a) === subject(b) && a.starts_at <= end(b) && b.starts_at <= end(a);

async function stored(from, to, signal) {
  const items = [];
  let cursor = null;
  do {
    const page = await ask("api/alerts", { query: { from, to, status: ["firing", "resolved"], limit: PAGE, cursor }, signal });
    items.push(...page.items);
    cursor = page.next;
  } while (cursor !== null && items.length < MOST);
  return items.filter((alert) => alert.fired_at !== null);
}
