/** The few pictures of the page, drawn with lines. They decorate: words beside them say the same. */

import { s } from "./dom.js";

const LINES = {
  now: "M3 12h4l3-8 4 16 3-8h4",
  alerts: "M12 3a6 6 0 0 0-6 6c0 6-2 7-2 7h16s-2-1-2-7a6 6 0 0 0-6-6M10 20a2 2 0 0 0 4 0",
  cameras: "M3 7h12v10H3zM15 11l6-3v8l-6-3",
  zones: "M5 5l14 3-3 11-10-2zM5 5h.01M19 8h.01M16 19h.01M6 17h.01",
  rules: "M4 6h16M4 12h16M4 18h16M8 4v4M15 10v4M11 16v4",
  replay: "M4 4v6h6M4.6 14a8 8 0 1 0 1-7.5L4 10M11 9l4 3-4 3z",
  quiet: "M5 12.5l4.5 4.5L19 7.5",
  close: "M6 6l12 12M18 6L6 18",
  back: "M14 5l-7 7 7 7",
  copy: "M9 9h10v11H9zM5 15V4h10",
  help: "M12 3a9 9 0 1 0 0 18a9 9 0 1 0 0-18M9.6 9.7a2.5 2.5 0 1 1 3.6 2.3c-.8.4-1.2 1-1.2 1.9M12 16.9h.01",
  theme: "M12 4a8 8 0 0 0 0 16zM12 4a8 8 0 0 1 0 16",
  lost: "M3 3l18 18M8.5 8.7A6 6 0 0 0 6 12M12 6a6 6 0 0 1 6 6M12 12v7",
};

/** A drawing of 1.25 em. */
export function icon(name) {
  return s("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, s("path", { d: LINES[name] }));
}

const SHAPES = {
  critical: "M8 2h8l6 6v8l-6 6H8l-6-6V8z",
  warning: "M12 2.5L23 21.5H1z",
  notice: "M12 1l11 11-11 11L1 12z",
  info: "M12 2a10 10 0 1 0 0 20a10 10 0 1 0 0-20",
};
const MARKS = {
  critical: "M12 7v6M12 16.5v.5",
  warning: "M12 10v5M12 18v.3",
  notice: "M12 7.5v5.5M12 16v.3",
  info: "M12 11v6M12 7v.3",
};

/** A severity by its shape: octagon, triangle, diamond, disk. */
export function severityShape(severity) {
  const known = severity in SHAPES ? severity : "info";
  return s(
    "svg",
    { class: `shape ${known}`, viewBox: "0 0 24 24", "aria-hidden": "true" },
    s("path", { class: "area", d: SHAPES[known] }),
    s("path", { class: "mark", d: MARKS[known] }),
  );
}

const STATES = {
  live: "M12 5a7 7 0 1 0 0 14a7 7 0 1 0 0-14",
  connecting: "M12 5a7 7 0 1 1-7 7",
  stalled: "M8 6v12M16 6v12",
  "backing off": "M6 6l12 12M18 6L6 18",
  stopped: "M7 7h10v10H7z",
};

/** A camera's state by its shape: disk, arc, bars, cross, square. */
export function stateShape() {
  const path = s("path", {});
  const element = s("svg", { class: "state-shape", viewBox: "0 0 24 24", "aria-hidden": "true" }, path);
  return {
    element,
    update(state) {
      element.dataset.state = state;
      path.setAttribute("d", STATES[state] ?? STATES.connecting);
    },
  };
}
