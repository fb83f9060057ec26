/** One page, many views: what stands after the # says which one, as `#/alerts/3f9c?camera=lobby`. */

/** The view that the address names: { name, id, query }. */
export function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name = "", ...rest] = path.split("/").map(decodeURIComponent);
  return { name: name || "now", id: rest.join("/") || null, query: new URLSearchParams(query) };
}

/** The address of a view. */
export function to(name, id = null, query = {}) {
  const pairs = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const path = [name, ...(id === null ? [] : [id])].map(encodeURIComponent).join("/");
  const text = new URLSearchParams(pairs);
  return `#/${path}${text.size ? `?${text}` : ""}`;
}

/** Go there; `replace` leaves no step in the browser's history. */
export function go(address, { replace = false } = {}) {
  if (address === location.hash) return;
  if (replace) history.replaceState(null, "", address);
  else location.hash = address;
}
