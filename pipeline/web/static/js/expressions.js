/** The expressions in the order in which they are stacked, and the colours that stand for them. */

export const ORDER = ["neutral", "happiness", "surprise", "contempt", "sadness", "fear", "disgust", "anger"];
export const UNKNOWN = "unknown";

/** The labels that a server knows, in our order; those we don't know come last. */
export function ordered(labels) {
  const place = (label) => (ORDER.indexOf(label) + 1 || ORDER.length + 1) - 1;
  return [...labels].sort((a, b) => place(a) - place(b));
}

/** The CSS variable with the colour of a label; classes that we don't know take the colours that `labels` leave over. */
export function colourOf(label, labels) {
  if (ORDER.includes(label) || label === UNKNOWN) return `x-${label}`;
  const own = labels.filter((each) => !ORDER.includes(each) && each !== UNKNOWN);
  const left = ORDER.slice(1).filter((each) => !labels.includes(each));
  return `x-${left[own.indexOf(label)] ?? "other"}`;
}
