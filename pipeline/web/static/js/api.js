/** Questions to the server. Addresses are relative, so that a proxy may serve the console under any path. */

/** An answer that says no: `status` is that of HTTP, 0 where there was no answer. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Fires `locked` when the server asks for a token; `needed` says whether it ever does. */
export const session = Object.assign(new EventTarget(), { needed: false });

/** `api/alerts?status=firing&status=resolved`: null and empty values are left out, lists repeat. */
export function address(path, query = {}) {
  const pairs = Object.entries(query).flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
  const text = new URLSearchParams(pairs.filter(([, value]) => value !== null && value !== undefined && value !== ""));
  return text.size ? `${path}?${text}` : path;
}

/** Ask for JSON. Throws Refused, and AbortError when `signal` ends it. */
export const ask = (path, { query, signal } = {}) => send("GET", address(path, query), { signal });

/** Change something. */
export const post = (path, body, { signal } = {}) => send("POST", path, { body: body ?? {}, signal });

/** Take something back. */
export const remove = (path, { signal } = {}) => send("DELETE", path, { signal, body: {} });

async function send(method, path, { body, signal }) {
  const answer = await reach(path, {
    method,
    signal,
    headers: body === undefined ? { Accept: "application/json" } : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (answer.status === 204) return null;
  const found = await answer.json().catch(notJson);
  if (answer.ok && found !== null) return found;
  throw new Refused(answer.status, found?.error?.message ?? `${answer.status} ${answer.statusText}`);
}

/** A proxy may answer with a page; what was ended on the way has no answer at all. */
function notJson(error) {
  if (error.name === "AbortError" || error.name === "TimeoutError") throw error;
  return null;
}

/** Fetch, with what goes wrong on the way as Refused. */
export async function reach(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError" || error.name === "TimeoutError") throw error;
    throw new Refused(0, error.message);
  }
  if (answer.status === 401) session.dispatchEvent(new Event("locked"));
  return answer;
}
