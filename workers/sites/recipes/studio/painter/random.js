// All sources of randomness: text hashing, the seeded generator and gradient noise.

/** Hash any text to an unsigned 32-bit integer. */
export function hashText(text) {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  return avalanche(hash);
}

function avalanche(value) {
  let mixed = value ^ (value >>> 16);
  mixed = Math.imul(mixed, 0x7feb352d);
  mixed ^= mixed >>> 15;
  mixed = Math.imul(mixed, 0x846ca68b);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** A small fast counter generator (sfc32) returning floats in [0, 1). */
function sfc32(seed) {
  let a = avalanche(seed),
    b = avalanche(seed ^ 0x9e3779b9),
    c = avalanche(seed + 0x51ed27),
    counter = 1;
  const next = () => {
    const sum = (a + b + counter++) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 4294967296;
  };
  for (let i = 0; i < 12; i++) next();
  return next;
}

/** A generator with the draws a painter wants. `fork` gives each part its own luck. */
export function createRandom(seed) {
  const next = sfc32(seed >>> 0);
  return {
    next,
    range: (low, high) => low + (high - low) * next(),
    whole: (low, high) => Math.floor(low + (high - low + 1) * next()),
    chance: (odds) => next() < odds,
    pick: (list) => list[Math.floor(next() * list.length)],
    bell: () => (next() + next() + next()) / 1.5 - 1,
    fork: (label) => createRandom((seed ^ hashText(label)) >>> 0),
  };
}

/** Two-dimensional gradient noise in about [-1, 1], plus its layered forms. */
export function createNoise(seed) {
  const table = shuffledTable(seed);
  const gradientX = new Float64Array(256),
    gradientY = new Float64Array(256);
  for (let i = 0; i < 256; i++) {
    gradientX[i] = Math.cos((i / 256) * Math.PI * 2) * 1.5;
    gradientY[i] = Math.sin((i / 256) * Math.PI * 2) * 1.5;
  }
  function at(x, y) {
    const cellX = Math.floor(x),
      cellY = Math.floor(y);
    const fx = x - cellX,
      fy = y - cellY;
    const left = table[cellX & 255],
      right = table[(cellX + 1) & 255];
    const top = cellY & 255,
      bottom = (cellY + 1) & 255;
    const a = table[left + top],
      b = table[right + top],
      c = table[left + bottom],
      d = table[right + bottom];
    const u = fx * fx * (3 - 2 * fx),
      v = fy * fy * (3 - 2 * fy);
    const upper = gradientX[a] * fx + gradientY[a] * fy;
    const upperRight = gradientX[b] * (fx - 1) + gradientY[b] * fy;
    const lower = gradientX[c] * fx + gradientY[c] * (fy - 1);
    const lowerRight = gradientX[d] * (fx - 1) + gradientY[d] * (fy - 1);
    const first = upper + (upperRight - upper) * u;
    return first + (lower + (lowerRight - lower) * u - first) * v;
  }
  return { at, layered: layeredBy(at), ridged: ridgedBy(at) };
}

function shuffledTable(seed) {
  const random = createRandom(seed);
  const table = new Uint8Array(1024);
  for (let i = 0; i < 256; i++) table[i] = i;
  for (let i = 255; i > 0; i--) {
    const j = Math.floor(random.next() * (i + 1));
    [table[i], table[j]] = [table[j], table[i]];
  }
  for (let i = 256; i < 1024; i++) table[i] = table[i & 255];
  return table;
}

const layeredBy =
  (at) =>
  (x, y, octaves = 4) => {
    let sum = 0,
      weight = 0.5;
    for (let i = 0; i < octaves; i++) {
      sum += weight * at(x, y);
      x = x * 2.03 + 17.1;
      y = y * 2.03 + 9.7;
      weight *= 0.5;
    }
    return sum * 1.2;
  };

const ridgedBy =
  (at) =>
  (x, y, octaves = 4) => {
    let sum = 0,
      weight = 0.5;
    for (let i = 0; i < octaves; i++) {
      sum += weight * (1 - Math.abs(at(x, y)) * 1.6);
      x = x * 2.07 + 5.3;
      y = y * 2.07 + 31.9;
      weight *= 0.5;
    }
    return sum;
  };
