// Pixel arithmetic shared by the media: reading, blurring, tone, edges, the flow of forms.

export const readPixels = (canvas) =>
  canvas.getContext("2d", { willReadFrequently: true }).getImageData(0, 0, canvas.width, canvas.height).data;

const { port1: drain, port2: outlet } = new MessageChannel();
outlet.close();

/**
 * Give the memory of pixels that are no longer needed back at once; they are empty then. The collector would wait until
 * dozens of megabytes have gathered. A message to a port that is closed is dropped with the bytes that it has taken.
 */
export const release = ({ buffer }) => drain.postMessage(null, [buffer]);

/** Box blur of RGBA bytes, twice each way, close to a gaussian. */
export function soften(pixels, w, h, radius) {
  const reach = Math.max(1, Math.round(radius));
  let source = pixels;
  for (let pass = 0; pass < 2; pass++) {
    const across = new Uint8ClampedArray(pixels.length),
      down = new Uint8ClampedArray(pixels.length);
    for (let row = 0; row < h; row++) slide(source, across, row * w * 4, 4, w, reach);
    for (let column = 0; column < w; column++) slide(across, down, column * 4, w * 4, h, reach);
    release(across);
    if (source !== pixels) release(source);
    source = down;
  }
  return source;
}

function slide(from, to, start, stride, length, reach) {
  const size = reach * 2 + 1,
    last = start + (length - 1) * stride;
  let r = 0,
    g = 0,
    b = 0;
  for (let i = -reach; i <= reach; i++) {
    const at = Math.min(last, Math.max(start, start + i * stride));
    r += from[at];
    g += from[at + 1];
    b += from[at + 2];
  }
  for (let i = 0, at = start; i < length; i++, at += stride) {
    to[at] = r / size;
    to[at + 1] = g / size;
    to[at + 2] = b / size;
    to[at + 3] = 255;
    const leave = Math.max(start, at - reach * stride),
      enter = Math.min(last, at + (reach + 1) * stride);
    r += from[enter] - from[leave];
    g += from[enter + 1] - from[leave + 1];
    b += from[enter + 2] - from[leave + 2];
  }
}

/** Lightness of every pixel, 0 to 1. */
export function tones(pixels) {
  const out = new Float32Array(pixels.length / 4);
  for (let i = 0, p = 0; i < out.length; i++, p += 4)
    out[i] = (pixels[p] * 0.299 + pixels[p + 1] * 0.587 + pixels[p + 2] * 0.114) / 255;
  return out;
}

/** Stretch tones so the darkest and lightest few percent reach black and white. */
export function stretchTones(tone, low = 0.02, high = 0.98) {
  const counts = new Uint32Array(256);
  for (let i = 0; i < tone.length; i++) counts[Math.min(255, Math.round(tone[i] * 255))]++;
  const level = (share) => {
    let sum = 0,
      at = 0;
    while (at < 255 && (sum += counts[at]) < tone.length * share) at++;
    return at / 255;
  };
  const black = level(low),
    range = Math.max(0.08, level(high) - black);
  return tone.map((value) => Math.min(1, Math.max(0, (value - black) / range)));
}

/** Strength of edges in a tone map, 0 to about 1. */
export function edgesOf(tone, w, h) {
  const out = new Float32Array(tone.length);
  for (let y = 1; y < h - 1; y++) {
    for (let x = 1, i = y * w + 1; x < w - 1; x++, i++) {
      const gx =
        tone[i - w + 1] + 2 * tone[i + 1] + tone[i + w + 1] - tone[i - w - 1] - 2 * tone[i - 1] - tone[i + w - 1];
      const gy =
        tone[i + w - 1] + 2 * tone[i + w] + tone[i + w + 1] - tone[i - w - 1] - 2 * tone[i - w] - tone[i - w + 1];
      out[i] = Math.hypot(gx, gy);
    }
  }
  return out;
}

/** Unit vectors along the forms of a picture (at a coarse scale), easing into noise where nothing is there to follow. */
export function flowField(pixels, w, h, noise, follow, swirl, scale) {
  scale = Math.max(2, scale);
  const columns = Math.ceil(w / scale),
    rows = Math.ceil(h / scale),
    tensor = [0, 1, 2].map(() => new Float32Array(columns * rows));
  const at = (column, row) => {
    const p =
      (Math.min(h - 1, Math.floor((row + 0.5) * scale)) * w + Math.min(w - 1, Math.floor((column + 0.5) * scale))) * 4;
    return pixels[p] * 0.3 + pixels[p + 1] * 0.59 + pixels[p + 2] * 0.11;
  };
  for (let row = 0, i = 0; row < rows; row++)
    for (let column = 0; column < columns; column++, i++) {
      const gx = at(Math.min(columns - 1, column + 1), row) - at(Math.max(0, column - 1), row),
        gy = at(column, Math.min(rows - 1, row + 1)) - at(column, Math.max(0, row - 1));
      tensor[0][i] = gx * gx;
      tensor[1][i] = gx * gy;
      tensor[2][i] = gy * gy;
    }
  const [xx, xy, yy] = tensor.map((part) => softenGrid(part, columns, rows)),
    vectors = new Float32Array(columns * rows * 2);
  for (let row = 0, i = 0; row < rows; row++)
    for (let column = 0; column < columns; column++, i++) {
      const along = 0.5 * Math.atan2(2 * xy[i], xx[i] - yy[i]) + Math.PI / 2,
        strength = follow * (1 - Math.exp(-(xx[i] + yy[i]) / 220));
      const drift = noise.layered((column / columns) * 3.2, (row / rows) * 3.2 * (h / w), 2) * (0.6 + swirl);
      const vx = Math.cos(2 * along) * strength + Math.cos(2 * drift) * (1.02 - strength),
        vy = Math.sin(2 * along) * strength + Math.sin(2 * drift) * (1.02 - strength),
        angle = 0.5 * Math.atan2(vy, vx);
      vectors[i * 2] = Math.cos(angle);
      vectors[i * 2 + 1] = Math.sin(angle);
    }
  return { columns, rows, scale, vectors };
}

function softenGrid(grid, columns, rows) {
  let source = grid;
  for (let pass = 0; pass < 2; pass++) {
    const out = new Float32Array(grid.length);
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++) {
        let sum = 0;
        for (let dy = -1; dy <= 1; dy++)
          for (let dx = -1; dx <= 1; dx++)
            sum +=
              source[
                Math.min(rows - 1, Math.max(0, row + dy)) * columns + Math.min(columns - 1, Math.max(0, column + dx))
              ];
        out[row * columns + column] = sum / 9;
      }
    source = out;
  }
  return source;
}

/** Noise combed along the flow: the grain of carved wood, charcoal on paper, brushed ink. 0 to 1. */
export function combedGrain(field, w, h, random, reach, size = 1) {
  const columns = Math.ceil(w / size),
    rows = Math.ceil(h / size),
    speckle = new Float32Array(columns * rows);
  for (let i = 0; i < speckle.length; i++) speckle[i] = random.next();
  const out = new Float32Array(w * h),
    steps = Math.max(2, Math.round(reach));
  for (let y = 0, i = 0; y < h; y++)
    for (let x = 0; x < w; x++, i++) {
      const cell =
          (Math.min(field.rows - 1, Math.floor(y / field.scale)) * field.columns +
            Math.min(field.columns - 1, Math.floor(x / field.scale))) *
          2,
        dx = field.vectors[cell],
        dy = field.vectors[cell + 1];
      let sum = 0;
      for (let step = -steps; step <= steps; step++) {
        const sx = Math.min(w - 1, Math.max(0, x + dx * step)),
          sy = Math.min(h - 1, Math.max(0, y + dy * step));
        sum += speckle[Math.floor(sy / size) * columns + Math.floor(sx / size)];
      }
      out[i] = sum / (steps * 2 + 1);
    }
  const spread = (0.29 / Math.sqrt(steps * 2 + 1)) * 3.4;
  for (let i = 0; i < out.length; i++) out[i] = Math.min(1, Math.max(0, 0.5 + (out[i] - 0.5) / spread));
  return out;
}
