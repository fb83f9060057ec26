/** Starts the page: words first, then the frame around the views, then the view that the address names. */

import { ask, session } from "./api.js";
import { probe, start } from "./feed.js";
import { follow, refresh } from "./firing.js";
import { speak, t, wanted } from "./i18n.js";
import { keys } from "./keys.js";
import { go, route, to } from "./router.js";
import { frame } from "./shell.js";
import { show as login } from "./views/login.js";
import { show as now } from "./views/now.js";

/** What is seldom the first thing to be seen comes when it is asked for. */
const VIEWS = {
  now: async () => ({ show: now }),
  alerts: () => import("./views/alerts.js"),
  cameras: () => import("./views/cameras.js"),
  zones: () => import("./views/zones.js"),
  rules: () => import("./views/rules.js"),
  replay: () => import("./views/replay.js"),
};

let ending = new AbortController();
let shown = null;
let shell = null;
let locked = false;

/** Show the view of the address. A view that knows how may go on with another part of itself. */
async function open() {
  if (locked) return;
  const wish = route();
  if (!(wish.name in VIEWS)) {
    go(to("now"), { replace: true });
    return open();
  }
  if (shown?.name === wish.name && shown.follow?.(wish)) return;
  ending.abort();
  ending = new AbortController();
  const { signal } = ending;
  const { show } = await VIEWS[wish.name]();
  if (signal.aborted) return;
  const main = shell.room(wish.name);
  shown = { name: wish.name, ...(show(main, { ...wish, signal }) ?? {}) };
  scrollTo(0, 0);
}

/** Ask for the token, and go on once the server has it. */
function lock() {
  if (locked) return;
  locked = true;
  ending.abort();
  ending = new AbortController();
  shown = null;
  login(shell.room(null), {
    signal: ending.signal,
    async done() {
      locked = false;
      await begin();
    },
  });
}

function build() {
  shell = frame({
    async changed(code) {
      await speak(code, { keep: true });
      build();
      shown = null;
      if (locked) {
        locked = false;
        lock();
      } else open();
    },
  });
}

const begin = () => Promise.all([probe(), refresh(), open()]);

const asked = ask("api/session").catch(() => ({ needed: false, signed_in: true })); // the feed says what is wrong
await speak(wanted());
const { needed, signed_in: signedIn } = await asked;
session.needed = needed;
build();
start();
follow();
session.addEventListener("locked", lock);
const order = Object.keys(VIEWS);
keys(
  Object.fromEntries([
    ...order.map((name, place) => [String(place + 1), () => go(to(name))]),
    ["?", () => shell.help()],
  ]),
  new AbortController().signal,
);
addEventListener("hashchange", open);
if (signedIn) await begin();
else session.dispatchEvent(new Event("locked"));
document.documentElement.dataset.ready = t("ready");
