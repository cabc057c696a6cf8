// Colour arithmetic: [red, green, blue] triples from 0 to 255, mixing, toning, CSS text.

/** Parse "#rrggbb". */
export function hex(text) {
  const value = parseInt(text.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

export const css = (colour, alpha = 1) =>
  `rgba(${Math.round(clampByte(colour[0]))},${Math.round(clampByte(colour[1]))},${Math.round(clampByte(colour[2]))},${alpha})`;

export const clampByte = (value) => (value < 0 ? 0 : value > 255 ? 255 : value);
export const clamp = (value, low = 0, high = 1) => (value < low ? low : value > high ? high : value);
export const smooth = (low, high, value) => {
  const t = clamp((value - low) / (high - low));
  return t * t * (3 - 2 * t);
};

export const mix = (from, to, amount) => [
  from[0] + (to[0] - from[0]) * amount,
  from[1] + (to[1] - from[1]) * amount,
  from[2] + (to[2] - from[2]) * amount,
];

export const luminance = (colour) => (colour[0] * 0.299 + colour[1] * 0.587 + colour[2] * 0.114) / 255;
export const multiply = (colour, by) => [colour[0] * by[0], colour[1] * by[1], colour[2] * by[2]];
export const lighten = (colour, amount) => mix(colour, [255, 252, 244], amount);
export const darken = (colour, amount) => mix(colour, [12, 10, 24], amount);

/** Pull towards or push away from grey. 1 keeps the colour. */
export function saturate(colour, amount) {
  const changed = [...colour];
  saturateInto(changed, amount);
  return changed;
}

/** The same in place. */
export function saturateInto(colour, amount) {
  const grey = luminance(colour) * 255;
  for (let c = 0; c < 3; c++) colour[c] = clampByte(grey + (colour[c] - grey) * amount);
}

/** Turn the hue by degrees with a luminance-keeping rotation. */
export function turnHue(colour, degrees) {
  const angle = (degrees * Math.PI) / 180,
    cos = Math.cos(angle),
    sin = Math.sin(angle);
  const [r, g, b] = colour;
  return [
    r * (0.299 + 0.701 * cos + 0.168 * sin) +
      g * (0.587 - 0.587 * cos + 0.33 * sin) +
      b * (0.114 - 0.114 * cos - 0.497 * sin),
    r * (0.299 - 0.299 * cos - 0.328 * sin) +
      g * (0.587 + 0.413 * cos + 0.035 * sin) +
      b * (0.114 - 0.114 * cos + 0.292 * sin),
    r * (0.299 - 0.3 * cos + 1.25 * sin) +
      g * (0.587 - 0.588 * cos - 1.05 * sin) +
      b * (0.114 + 0.886 * cos - 0.203 * sin),
  ].map(clampByte);
}

/** Give a colour the hue of another while keeping its own lightness. */
export function tintTowards(colour, tint, amount) {
  const scale = (luminance(colour) * 255 + 8) / (luminance(tint) * 255 + 8);
  return mix(
    colour,
    tint.map((channel) => clampByte(channel * scale)),
    amount,
  );
}

/** A lookup table of `size` colours through evenly or explicitly placed stops [[position, colour], …]. */
export function ramp(stops, size = 256) {
  const table = new Float32Array(size * 3);
  let index = 0;
  for (let i = 0; i < size; i++) {
    const position = i / (size - 1);
    while (index < stops.length - 2 && position > stops[index + 1][0]) index++;
    const [start, from] = stops[index],
      [end, to] = stops[index + 1];
    table.set(mix(from, to, smooth(0, 1, clamp((position - start) / (end - start || 1)))), i * 3);
  }
  return table;
}
