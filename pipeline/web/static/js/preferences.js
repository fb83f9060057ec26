/** What a viewer chose, kept in this browser; forgotten at once where storage is forbidden. */

const PREFIX = "mien.";

/** The choice by this name, or `otherwise`. */
export function preferred(name, otherwise) {
  try {
    return localStorage.getItem(PREFIX + name) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Keep a choice; null forgets it. */
export function prefer(name, value) {
  try {
    if (value === null) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, value);
  } catch {
    // The choice holds until the page is closed.
  }
}
