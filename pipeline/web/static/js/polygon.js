/** Polygons in parts of the picture's width and height. Nothing here knows of a page. */

const GRID = 1000;
/** Coordinates have three decimals: a pixel of a picture of 1000. */

export const FEWEST = 3;

/** A coordinate inside the picture, on the grid. */
export const snap = (value) => Math.round(Math.min(1, Math.max(0, value)) * GRID) / GRID;

/** A corner inside the picture, on the grid. */
export const corner = (x, y) => [snap(x), snap(y)];

/** Why a polygon can't be used, as a word for the catalogue, or null. */
export function fault(points) {
  if (points.length < FEWEST) return "corners";
  if (Math.abs(area(points)) < 1e-6) return "area";
  return crossed(points) ? "crossed" : null;
}

/** The polygon with one corner elsewhere. */
export const moved = (points, place, to) => points.map((point, index) => (index === place ? corner(...to) : point));

/** The polygon moved as a whole, as far as the picture goes. */
export function shifted(points, [dx, dy]) {
  const range = (axis, by) => {
    const values = points.map((point) => point[axis]);
    return Math.max(-Math.min(...values), Math.min(1 - Math.max(...values), by));
  };
  const by = [range(0, dx), range(1, dy)];
  return points.map(([x, y]) => corner(x + by[0], y + by[1]));
}

/** The polygon with a corner in the middle between one and the next. */
export function split(points, place) {
  const [a, b] = [points[place], points[(place + 1) % points.length]];
  return points.toSpliced(place + 1, 0, corner((a[0] + b[0]) / 2, (a[1] + b[1]) / 2));
}

/** The polygon without a corner; one with three keeps them. */
export const without = (points, place) => (points.length > FEWEST ? points.toSpliced(place, 1) : points);

/** Where its name goes: the middle of its corners. */
export function middle(points) {
  const sum = points.reduce(([x, y], point) => [x + point[0], y + point[1]], [0, 0]);
  return sum.map((value) => value / points.length);
}

/** Whether a point is inside. */
export function inside(points, [x, y]) {
  let within = false;
  points.forEach(([ax, ay], place) => {
    const [bx, by] = points[(place + 1) % points.length];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) within = !within;
  });
  return within;
}

function area(points) {
  return points.reduce((sum, [x, y], place) => {
    const [nextX, nextY] = points[(place + 1) % points.length];
    return sum + x * nextY - nextX * y;
  }, 0);
}

function crossed(points) {
  const edges = points.map((point, place) => [point, points[(place + 1) % points.length]]);
  return edges.some((one, i) =>
    edges.some((other, k) => k > i + 1 && !(i === 0 && k === edges.length - 1) && meet(one, other)),
  );
}

const turn = (a, b, c) => Math.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]));

const meet = ([a, b], [c, d]) => turn(a, b, c) !== turn(a, b, d) && turn(c, d, a) !== turn(c, d, b);
