/** Zones and masks as the lines that belong into the configuration. */

const PLAIN = /^[A-Za-z_][A-Za-z0-9_-]*$/;
const USUAL_INERTIA_S = 0.5;
const NOT_TEXT = /^(true|false|yes|no|on|off|null|y|n|nan|inf)$/i;

/** A name as a key of YAML: quoted where a reader could take it for something else. */
export const key = (name) => (PLAIN.test(name) && !NOT_TEXT.test(name) ? name : JSON.stringify(name));

const corners = (points) => `[${points.map(([x, y]) => `[${x}, ${y}]`).join(", ")}]`;

/** What a camera's `zones` and `masks` are to be; shapes are { kind, name, points, inertia }. */
export function zonesYaml(cameraId, shapes) {
  const zones = shapes.filter((shape) => shape.kind === "zone").map(zoneLine);
  const masks = shapes.filter((shape) => shape.kind === "mask").map((shape) => `      - ${corners(shape.points)}`);
  return [
    "cameras:",
    `  ${key(cameraId)}:`,
    ...(zones.length ? ["    zones:", ...zones] : ["    zones: {}"]),
    ...(masks.length ? ["    masks:", ...masks] : ["    masks: []"]),
    "",
  ].join("\n");
}

function zoneLine({ name, points, inertia }) {
  const rest = (inertia ?? USUAL_INERTIA_S) === USUAL_INERTIA_S ? "" : `, inertia: ${Math.round(inertia * 1000)}ms`;
  return `      ${key(name)}: {polygon: ${corners(points)}${rest}}`;
}
