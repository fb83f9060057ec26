/** Elements, made and kept up to date by hand. Text from outside only ever becomes text. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element: h("button", { class: "quiet", onclick: close }, "Close").
 * Attributes that are null or false are left out, true is an empty one; `on...` listens; `signal` ends the listening.
 */
export function h(tag, attributes, ...children) {
  return dress(document.createElement(tag), attributes, children);
}

/** The same for an element of SVG. */
export function s(tag, attributes, ...children) {
  return dress(document.createElementNS(SVG, tag), attributes, children);
}

function dress(element, attributes, children) {
  const { signal, ...rest } = attributes ?? {};
  for (const [name, value] of Object.entries(rest)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value, { signal });
    else attribute(element, name, value);
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

/** Set an attribute where it differs; null or false takes it away. */
export function attribute(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const wanted = value === true ? "" : String(value);
  if (element.getAttribute(name) !== wanted) element.setAttribute(name, wanted);
}

/** Set the text of an element where it differs: what doesn't change costs no layout. */
export function text(element, value) {
  const wanted = value ?? "";
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** Show or hide. */
export function shown(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

/** Make `value` (0 to 1) known to the style sheet as a CSS variable. */
export function measure(element, name, value) {
  element.style.setProperty(`--${name}`, value);
}

/**
 * A list that follows its items: `make(item)` gives { element, update(item) }, once per key.
 * Elements are moved only where their order changed, so focus and scrolling stay.
 */
export function keyed(parent, key, make) {
  const parts = new Map();
  return (items) => {
    const wanted = new Set(items.map(key));
    for (const [name, part] of parts) {
      if (wanted.has(name)) continue;
      part.element.remove();
      parts.delete(name);
    }
    let next = parent.firstElementChild;
    for (const item of items) {
      const name = key(item);
      let part = parts.get(name);
      if (!part) parts.set(name, (part = make(item)));
      part.update(item);
      if (part.element === next) next = next.nextElementSibling;
      else parent.insertBefore(part.element, next);
    }
  };
}

/** Call `work` now and every so many ms, while the page is visible, until `signal` ends it; never twice at once. */
export function every(ms, work, signal) {
  let timer = 0;
  let running = false;
  const turn = async () => {
    clearTimeout(timer);
    if (signal.aborted || running) return;
    if (!document.hidden) {
      running = true;
      try {
        await work();
      } finally {
        running = false;
      }
    }
    if (!signal.aborted) timer = setTimeout(turn, ms);
  };
  document.addEventListener("visibilitychange", () => !document.hidden && turn(), { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  turn();
}
