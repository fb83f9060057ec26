/**
 * A list of any length in which only the rows in sight exist: 10,000 alerts scroll like 30.
 * All rows have the height of the CSS variable --row of the list. One row is the current one; it alone is a stop of the
 * tab key, and the keys of the list move it.
 */

import { attribute, h } from "../dom.js";

const BEYOND = 8;
/** So many rows exist above and below those in sight. */
const PAGE = 10;

/**
 * Make a list: `make(index)` gives { element, update(item, index) }, `near(index)` is told the last row in sight,
 * `chosen(index)` that another row is the current one.
 */
export function virtual({ label, make, near, chosen, signal }) {
  const inner = h("ol", { class: "rows", role: "list", "aria-label": label });
  const element = h("div", { class: "virtual" }, inner);
  const rows = new Map();
  let spare = [];
  let items = [];
  let ended = false;
  let current = 0;
  let asked = 0;

  const height = () => parseFloat(getComputedStyle(element).getPropertyValue("--row")) || 60;
  let row = height();

  function span() {
    const first = Math.max(0, Math.floor(element.scrollTop / row) - BEYOND);
    const last = Math.min(items.length - 1, Math.ceil((element.scrollTop + element.clientHeight) / row) + BEYOND);
    return [first, last];
  }

  function draw() {
    asked = 0;
    const [first, last] = span();
    for (const [index, part] of rows) {
      if ((index >= first && index <= last) || (index === current && index < items.length)) continue;
      rows.delete(index);
      part.element.remove();
      spare.push(part);
    }
    for (let index = first; index <= last; index += 1) place(index);
    if (current < items.length) place(current);
    spare = spare.slice(0, 2 * BEYOND);
    near(last);
  }

  function place(index) {
    let part = rows.get(index);
    if (!part) {
      part = spare.pop() ?? make();
      rows.set(index, part);
      part.element.style.transform = `translateY(${index * row}px)`;
      part.index = index;
      const after = [...rows.keys()].filter((other) => other > index);
      inner.insertBefore(part.element, after.length ? rows.get(Math.min(...after)).element : null);
    }
    part.update(items[index], index);
    attribute(part.element, "aria-posinset", index + 1);
    attribute(part.element, "aria-setsize", ended ? items.length : -1);
    attribute(part.focus, "tabindex", index === current ? 0 : -1);
    attribute(part.element, "data-current", index === current);
  }

  function refresh() {
    if (!asked) asked = requestAnimationFrame(draw);
  }

  /** Make a row the current one, in sight, and with `focus` the one that hears the keyboard. */
  function choose(index, { focus = true } = {}) {
    if (!items.length) return;
    current = Math.max(0, Math.min(items.length - 1, index));
    const top = current * row;
    if (top < element.scrollTop) element.scrollTop = top;
    const bottom = top + row - element.clientHeight;
    if (bottom > element.scrollTop) element.scrollTop = bottom;
    draw();
    if (focus) rows.get(current).focus.focus({ preventScroll: true });
    chosen?.(current);
  }

  const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: PAGE, PageUp: -PAGE, Home: -Infinity, End: Infinity };
  element.addEventListener(
    "keydown",
    (event) => {
      if (!(event.key in moves) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      choose(current + moves[event.key]);
    },
    { signal },
  );
  element.addEventListener("scroll", refresh, { passive: true, signal });
  const watcher = new ResizeObserver(() => {
    const next = height();
    if (next !== row) {
      row = next;
      for (const [index, part] of rows) part.element.style.transform = `translateY(${index * row}px)`;
      inner.style.height = `${items.length * row}px`;
    }
    refresh();
  });
  watcher.observe(element);
  signal.addEventListener("abort", () => watcher.disconnect());

  return {
    element,
    choose,
    refresh,
    move: (by) => choose(current + by),
    get current() {
      return current;
    },
    get atTop() {
      return element.scrollTop < row / 2;
    },
    /** Show these items from now on; `complete` says that no more will come. */
    set(next, { complete, keep = true }) {
      items = next;
      ended = complete;
      if (!keep) {
        element.scrollTop = 0;
        current = 0;
      }
      inner.style.height = `${items.length * row}px`;
      refresh();
    },
    /** Some items came in above: what is in sight stays where it is. */
    shifted(by) {
      current += by;
      element.scrollTop += by * row;
    },
  };
}
