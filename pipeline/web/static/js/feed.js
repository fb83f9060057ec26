/**
 * What the server tells of its own accord, and whether it still does.
 *
 * `feed` fires `status` (there is news in `latest`), `alert` (detail: one transition) and `connection` (it was lost, or
 * is back). Silence proves nothing, as nothing may have happened: after a few seconds of it we ask.
 */

import { address, ask, session } from "./api.js";

const SILENT_MS = 4000;
const PATIENCE_MS = 3000;
const LOOK_EVERY_MS = 1000;

export const feed = new EventTarget();

/** The newest that is known. `lostSince` (ms) is set while the server doesn't answer: then all of it is old. */
export const latest = { status: null, cameras: [], heard: 0, lostSince: null };

let stream = null;
let asking = false;
let locked = false;
let place = null;
/** How far the stream was heard: from there it goes on after an interruption, so that no alert is missed. */

let ahead = 0;
/** The server's clock minus ours, in seconds. */

/** Seconds since the epoch by the server's clock, which all its times are by. While it is away, time stands still. */
export const now = () => (latest.lostSince ?? Date.now()) / 1000 + ahead;

/** Look from now on whether the server still answers; `probe` asks it for the first time. */
export function start() {
  setInterval(look, LOOK_EVERY_MS);
  addEventListener("online", probe);
  session.addEventListener("locked", () => {
    locked = true;
    stream?.close();
  });
}

/** Ask for everything at once: at the start, after a log-in, after silence. */
export async function probe() {
  if (asking) return;
  asking = true;
  const signal = AbortSignal.timeout(PATIENCE_MS);
  try {
    const [status, cameras] = await Promise.all([ask("api/status", { signal }), ask("api/cameras", { signal })]);
    locked = false;
    take(status, cameras);
    if (!stream || stream.readyState === EventSource.CLOSED) listen();
  } catch (error) {
    if (error.status !== 401) lose();
  } finally {
    asking = false;
  }
}

function listen() {
  stream = new EventSource(address("api/events", { after: place }));
  stream.addEventListener("status", (event) => {
    place = event.lastEventId || place;
    const { status, cameras } = JSON.parse(event.data);
    take(status, cameras);
  });
  stream.addEventListener("alert", (event) => {
    place = event.lastEventId || place;
    hear();
    feed.dispatchEvent(new CustomEvent("alert", { detail: JSON.parse(event.data) }));
  });
  stream.addEventListener("error", probe);
}

function take(status, cameras) {
  latest.status = status;
  latest.cameras = cameras;
  ahead = status.now - Date.now() / 1000;
  hear();
  feed.dispatchEvent(new Event("status"));
}

function hear() {
  latest.heard = Date.now();
  if (latest.lostSince === null) return;
  latest.lostSince = null;
  feed.dispatchEvent(new Event("connection"));
}

function lose() {
  if (latest.lostSince !== null) return;
  latest.lostSince = latest.heard || Date.now();
  feed.dispatchEvent(new Event("connection"));
}

function look() {
  if (!locked && Date.now() - latest.heard > SILENT_MS) probe();
}
