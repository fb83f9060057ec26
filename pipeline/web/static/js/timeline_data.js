/** What a timeline of the API says, made ready to be drawn and read. No drawing here. */

import { UNKNOWN, ordered } from "./expressions.js";

/** The labels from the bottom of the stack to its top. */
export const layersOf = (labels) => [...ordered(labels), UNKNOWN];

/**
 * Stack the shares: of all faces that were seen, so many showed this, so many couldn't be read.
 * `tops[i]` is the upper edge of layer i, null where nobody was in sight or nobody looked; the last value stands twice,
 * at the beginning and at the end of the last stretch.
 */
export function stacked(timeline, layers) {
  const tops = layers.map(() => new Array(timeline.start.length).fill(null));
  timeline.start.forEach((_, place) => {
    const parts = sharesAt(timeline, place);
    if (!parts) return;
    let sum = 0;
    layers.forEach((label, layer) => {
      sum += parts[label] ?? 0;
      tops[layer][place] = Math.min(1, sum);
    });
  });
  const end = timeline.start.length ? [timeline.start.at(-1) + timeline.width_s] : [];
  return { edges: [...timeline.start, ...end], tops: tops.map((values) => [...values, ...values.slice(-1)]) };
}

/** The share of each label at one place, of all faces there; null where there were none. */
export function sharesAt(timeline, place) {
  const unknown = timeline.unknown[place] ?? null;
  if (unknown === null) return null;
  const parts = { [UNKNOWN]: unknown };
  for (const [label, values] of Object.entries(timeline.shares)) parts[label] = (values[place] ?? 0) * (1 - unknown);
  return parts;
}

/** At most `most` rows of a table: { from, to, faces, shares, gap }, newest first; what nobody saw is said. */
export function tableRows(timeline, most) {
  const many = timeline.start.length;
  const step = Math.max(1, Math.ceil(many / most));
  const rows = [];
  for (let first = 0; first < many; first += step) {
    const places = Array.from({ length: Math.min(step, many - first) }, (_, offset) => first + offset);
    const from = timeline.start[first];
    const to = timeline.start[places.at(-1)] + timeline.width_s;
    rows.push({
      from,
      to,
      faces: meanOf(timeline.faces, places),
      shares: meanShares(timeline, places),
      gap: gapIn(timeline, from, to),
    });
  }
  return rows.reverse();
}

function meanOf(values, places) {
  const found = places.map((place) => values?.[place] ?? null).filter((value) => value !== null);
  return found.length ? found.reduce((sum, value) => sum + value, 0) / found.length : null;
}

function meanShares(timeline, places) {
  const found = places.map((place) => sharesAt(timeline, place)).filter(Boolean);
  if (!found.length) return null;
  const labels = Object.keys(found[0]);
  return Object.fromEntries(
    labels.map((label) => [label, found.reduce((sum, one) => sum + one[label], 0) / found.length]),
  );
}

/** Why part of a stretch was not seen, or null. */
export function gapIn(timeline, from, to) {
  return timeline.gaps.find((gap) => gap.from_ts < to && gap.to_ts > from)?.reason ?? null;
}

/** Which stretch a time is in, or null where there is none. */
export function placeOf(timeline, ts) {
  const place = Math.floor((ts - (timeline.start[0] ?? 0)) / timeline.width_s);
  return place >= 0 && place < timeline.start.length ? place : null;
}
