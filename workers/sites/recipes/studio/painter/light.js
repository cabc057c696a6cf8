// The light of a picture: hour, weather, season and mood become one table of colours and strengths, `scene.light`.

import { clamp, hex, mix, multiply, saturate, tintTowards, turnHue } from "./colour.js";

/** sky from zenith to horizon; ambient multiplies the land; height is the sun's (0 horizon, 1 top). */
const HOURS = {
  dawn: {
    sky: ["#4c6596", "#b79bb4", "#f3b9a0", "#ffe0b0"],
    sun: "#fff0c8",
    height: 0.07,
    ambient: [0.74, 0.7, 0.82],
    lamps: 0.25,
    stars: 0,
  },
  morning: {
    sky: ["#4f92cc", "#8fc2e2", "#cfe4e6", "#f8ecd0"],
    sun: "#fff6dc",
    height: 0.42,
    ambient: [0.98, 0.97, 0.95],
    lamps: 0,
    stars: 0,
  },
  noon: {
    sky: ["#2a72bc", "#5fa4da", "#a2cdea", "#dcedf0"],
    sun: "#fffbea",
    height: 0.72,
    ambient: [1.02, 1.02, 1],
    lamps: 0,
    stars: 0,
  },
  golden: {
    sky: ["#5d8cb8", "#a9bcb8", "#f0cf90", "#ffdf9a"],
    sun: "#fff0b8",
    height: 0.26,
    ambient: [1.05, 0.92, 0.72],
    lamps: 0,
    stars: 0,
  },
  sunset: {
    sky: ["#343a70", "#8d4f86", "#e8705e", "#ffbe62"],
    sun: "#ffe6a0",
    height: 0.08,
    ambient: [0.76, 0.55, 0.56],
    lamps: 0.6,
    stars: 0.05,
  },
  dusk: {
    sky: ["#1b2550", "#4a4482", "#a85c86", "#f3a06c"],
    sun: "#ffcf92",
    height: 0.015,
    ambient: [0.5, 0.44, 0.6],
    lamps: 1,
    stars: 0.25,
  },
  twilight: {
    sky: ["#0d1b42", "#234a84", "#5f86b4", "#c3b5b8"],
    sun: "#f4dccf",
    height: -0.05,
    ambient: [0.36, 0.44, 0.64],
    lamps: 1,
    stars: 0.4,
  },
  night: {
    sky: ["#060b20", "#0f1d42", "#1f3764", "#3b5680"],
    sun: "#f4f0dc",
    height: 0.6,
    ambient: [0.33, 0.4, 0.6],
    lamps: 1,
    stars: 1,
  },
};

const SEASONS = {
  spring: { leaf: ["#7fae4c", "#a8c868", "#f0b4c4"], grass: "#86b04e", dry: 0 },
  summer: { leaf: ["#3f7a3c", "#5c9244", "#86ac4e"], grass: "#6f9e44", dry: 0.1 },
  autumn: { leaf: ["#b8521f", "#dc8a2c", "#8c3422"], grass: "#a8964a", dry: 0.5 },
  winter: { leaf: ["#76705f", "#8c8678", "#a8a8a4"], grass: "#dfe6ea", dry: 0.3 },
};

const USUAL_HOURS = ["morning", "noon", "golden", "golden", "sunset", "dusk", "dawn"];

function chooseHour(brief, random) {
  if (brief.time) return brief.time;
  const has = (kind) => brief.subjects.some((subject) => subject.kind === kind);
  if (has("stars") || has("aurora") || has("moon") || has("comet") || brief.places.includes("space")) return "night";
  if (has("lantern") || has("campfire")) return random.pick(["dusk", "night"]);
  if (has("sun")) return random.pick(["sunset", "golden"]);
  if (has("rainbow") || brief.weather.has("clear")) return "noon";
  return random.pick(USUAL_HOURS.filter((hour) => !brief.without.has(hour)));
}

function applyWeather(light, weather) {
  const towards = (sky, amount) => {
    light.sky = light.sky.map((colour) => mix(colour, multiply(sky, light.grey), amount));
  };
  light.grey = light.hour === "night" ? [0.25, 0.28, 0.38] : light.ambient;
  if (weather.has("cloudy")) {
    towards([176, 184, 194], 0.5);
    light.clouds = 0.85;
  }
  if (weather.has("rain")) {
    towards([120, 134, 150], 0.6);
    light.clouds = 0.85;
    light.haze += 0.2;
    light.rain = 1;
  }
  if (weather.has("storm")) {
    towards([58, 66, 84], 0.72);
    light.clouds = 0.95;
    light.ambient = multiply(light.ambient, [0.72, 0.76, 0.84]);
    light.storm = 1;
    light.rough = 1;
  }
  if (weather.has("snow")) {
    towards([196, 206, 218], 0.3);
    light.clouds = 0.6;
    light.snowing = 1;
    light.haze += 0.06;
  }
  if (weather.has("fog")) {
    towards([206, 210, 212], 0.55);
    light.haze += 0.55;
    light.clouds = 0.3;
    light.fog = 1;
  }
  if (weather.has("wind")) {
    light.wind = 1;
    light.rough = Math.max(light.rough, 0.7);
  }
  if (weather.has("clear")) light.clouds = 0.06;
}

function applyMoods(light, moods) {
  const every = (change) => {
    light.sky = light.sky.map(change);
    light.sun = change(light.sun);
  };
  if (moods.has("dramatic")) {
    light.contrast += 0.22;
    light.rays = 1;
    light.clouds = Math.max(light.clouds, 0.55);
  }
  if (moods.has("sad")) {
    every((colour) => tintTowards(saturate(colour, 0.55), [88, 110, 140], 0.35));
    light.vividness *= 0.6;
  }
  if (moods.has("happy")) {
    every((colour) => saturate(colour, 1.2));
    light.vividness *= 1.25;
  }
  if (moods.has("mysterious")) {
    light.haze += 0.3;
    light.contrast += 0.08;
    light.ambient = multiply(light.ambient, [0.78, 0.84, 0.86]);
  }
  if (moods.has("dreamy")) {
    every((colour) => mix(colour, [244, 206, 226], 0.22));
    light.bloom = 1;
    light.haze += 0.15;
  }
  if (moods.has("cosy")) {
    light.lamps = Math.max(light.lamps, 0.7);
    light.ambient = multiply(light.ambient, [1.06, 0.96, 0.84]);
  }
  if (moods.has("cold")) {
    every((colour) => mix(colour, [150, 190, 224], 0.2));
    light.ambient = multiply(light.ambient, [0.88, 0.97, 1.1]);
  }
  if (moods.has("vivid")) {
    every((colour) => saturate(colour, 1.4));
    light.vividness *= 1.45;
  }
  if (moods.has("muted")) {
    every((colour) => saturate(colour, 0.55));
    light.vividness *= 0.6;
  }
  if (moods.has("calm")) light.rough *= 0.3;
  if (moods.has("minimal")) light.clouds *= 0.4;
}

/** Colour words not owned by a subject lean the whole palette towards them. */
function applyTints(light, tints) {
  tints.forEach((tint, order) => {
    const strength = 0.55 / (1 + order * 0.5);
    light.sky = light.sky.map((colour, index) =>
      tintTowards(
        mix(colour, multiply(tint, light.hour === "night" ? [0.4, 0.4, 0.4] : [1, 1, 1]), strength * 0.4),
        tint,
        index % 2 === order % 2 ? strength : strength * 0.45,
      ),
    );
    light.landTint = order === 0 ? tint : mix(light.landTint, tint, 0.4);
    light.accent = tint;
  });
}

/** Build the light of a scene; `random` gives each seed its own slight turn of hue. */
export function createLight(brief, random) {
  const hour = chooseHour(brief, random);
  const table = HOURS[hour];
  const turn = random.range(-9, 9);
  const season = brief.season ?? (brief.weather.has("snow") ? "winter" : random.pick(["spring", "summer", "summer"]));
  const light = {
    hour,
    season,
    sky: table.sky.map((text) => turnHue(hex(text), turn)),
    sun: hex(table.sun),
    height: table.height + random.range(-0.02, 0.05),
    ambient: table.ambient,
    lamps: table.lamps,
    stars: table.stars,
    clouds: random.range(0.22, 0.62),
    haze: 0.42,
    rough: 0.4,
    contrast: 0,
    vividness: 1,
    rain: 0,
    snowing: 0,
    storm: 0,
    fog: 0,
    wind: 0,
    rays: 0,
    bloom: 0,
    landTint: null,
    accent: null,
    leaf: SEASONS[season].leaf.map(hex),
    grass: hex(SEASONS[season].grass),
    dry: SEASONS[season].dry,
    snowy: season === "winter" || brief.weather.has("snow"),
  };
  applyWeather(light, brief.weather);
  applyMoods(light, brief.moods);
  applyTints(light, brief.tints);
  if (brief.without.has("cloud")) light.clouds = 0;
  light.hazeColour = mix(light.sky[3], light.sky[2], 0.35);
  light.haze = clamp(light.haze, 0, 1);
  return light;
}

/** A local colour as it looks in this light at a depth from 0 (near) to 1 (far). */
export function lit(light, colour, depth = 0) {
  let seen = saturate(multiply(colour, light.ambient), light.vividness);
  if (light.landTint) seen = tintTowards(seen, light.landTint, 0.28);
  return mix(seen, light.hazeColour, clamp(depth * (0.45 + light.haze * 0.75), 0, 0.94));
}
