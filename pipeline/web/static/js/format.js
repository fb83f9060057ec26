/** Figures, times and durations as people of the chosen language read them. */

import { language, t } from "./i18n.js";

const WALL_CLOCK = 1e8;
/** Seconds since the epoch before which a time is no wall clock but the place in a file. */

const made = new Map();

/** The viewer's own variety of the language, as en-GB: it decides the order of day and month. */
const locale = () => navigator.languages.find((tag) => tag.split("-")[0] === language) ?? language;

function formatter(kind, options) {
  const name = `${language} ${kind.name} ${JSON.stringify(options)}`;
  if (!made.has(name)) made.set(name, new kind(locale(), options));
  return made.get(name);
}

const TIME = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
const SHORT_TIME = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const DAY = { month: "short", day: "numeric" };
const LONG_DAY = { year: "numeric", month: "short", day: "numeric" };

const dated = (ts, options) => formatter(Intl.DateTimeFormat, options).format(new Date(ts * 1000));
const today = (ts) => new Date(ts * 1000).toDateString() === new Date().toDateString();

/** `14:03:22`, in the viewer's zone; the place in a file as `+1:02:03`. */
export function clock(ts) {
  if (ts >= WALL_CLOCK) return dated(ts, TIME);
  const seconds = Math.floor(ts);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return `+${parts.map((part, place) => (place ? String(part).padStart(2, "0") : part)).join(":")}`;
}

/** `14:03`. */
export const minute = (ts) => (ts >= WALL_CLOCK ? dated(ts, SHORT_TIME) : clock(ts));

/** The time alone today, with the day before. */
export function moment(ts) {
  if (ts === null || ts === undefined) return t("none");
  return ts < WALL_CLOCK || today(ts) ? clock(ts) : `${dated(ts, DAY)} ${clock(ts)}`;
}

/** Day, time and zone in full. */
export function full(ts) {
  if (ts === null || ts === undefined) return t("none");
  return ts < WALL_CLOCK ? clock(ts) : `${dated(ts, LONG_DAY)} ${clock(ts)} ${zone()}`;
}

/** The viewer's time zone: `GMT+1`, or as the language calls it. */
export function zone() {
  const parts = formatter(Intl.DateTimeFormat, { timeZoneName: "short" }).formatToParts(new Date());
  return parts.find((part) => part.type === "timeZoneName").value;
}

const ROUGH_S = 60;

/** The same in whole minutes from a minute on, for what goes on. */
export const roughly = (seconds) => lasted(seconds >= ROUGH_S ? Math.floor(seconds / 60) * 60 : Math.round(seconds));

/** `4.2 s`, `3 min 12 s`, `2 h 5 min`, `3 d 4 h`: two units at most. */
export function lasted(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return t("none");
  const whole = Math.max(0, seconds);
  if (whole < 9.95) return t("span.s", { s: number(whole, 1) });
  const units = [
    ["d", 86400],
    ["h", 3600],
    ["min", 60],
    ["s", 1],
  ];
  let left = Math.round(whole);
  const parts = [];
  for (const [unit, size] of units) {
    const many = Math.floor(left / size);
    left -= many * size;
    if (many || parts.length) parts.push([unit, many]);
  }
  return parts
    .slice(0, 2)
    .filter(([, many]) => many)
    .map(([unit, many]) => t(`span.${unit}`, { [unit]: many }))
    .join(" ");
}

/** A figure with so many decimals. */
export function number(value, digits = 0) {
  if (value === null || value === undefined) return t("none");
  return formatter(Intl.NumberFormat, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}

/** A share as `42 %`. */
export function percent(share) {
  if (share === null || share === undefined) return t("none");
  return formatter(Intl.NumberFormat, { style: "percent", maximumFractionDigits: 0 }).format(share);
}

/** Bytes as `3.2 MB`. */
export function bytes(many) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  let step = 0;
  while (many >= 1000 && step < units.length - 1) [many, step] = [many / 1000, step + 1];
  const options = { style: "unit", unit: units[step], unitDisplay: "short", maximumFractionDigits: step ? 1 : 0 };
  return formatter(Intl.NumberFormat, options).format(many);
}
