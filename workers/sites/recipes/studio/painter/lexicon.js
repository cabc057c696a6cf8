// The vocabulary: the words that name each place, subject, hour, weather, colour, mood or medium.

/** concept: the words that mean it (two-word phrases are joined by "_"). */
const PLACES = {
  sea: "sea ocean waves wave surf bay seascape coast coastline shore seaside atlantic pacific lagoon tide",
  beach: "beach sand seashore sands",
  lake: "lake pond water loch reservoir fjord mirror reflection",
  river: "river stream creek brook rapids riverbank",
  waterfall: "waterfall cascade falls",
  canal: "canal venice amsterdam canals",
  harbour: "harbour harbor port marina dock pier quay jetty",
  mountain: "mountain peak alps alp summit ridge range himalaya everest highland sierra fuji mount",
  volcano: "volcano lava eruption crater",
  canyon: "canyon gorge mesa butte badlands ravine",
  hill: "hill hills knoll slope downs countryside landscape tuscany moor heath",
  cliff: "cliff cliffs headland crag bluff precipice",
  valley: "valley glen dale vale",
  forest: "forest wood woods woodland grove taiga thicket pines",
  jungle: "jungle rainforest tropics tropical amazon",
  desert: "desert dune dunes sahara oasis wasteland",
  meadow: "meadow grass grassland pasture prairie steppe savanna lawn field plain",
  wheat: "wheat cornfield barley harvest hay haystack",
  lavender: "lavender provence heather",
  vineyard: "vineyard vines",
  garden: "garden park orchard greenhouse courtyard",
  swamp: "swamp marsh bog wetland bayou reeds",
  city: "city skyline downtown metropolis urban skyscraper skyscrapers cityscape manhattan tokyo york chicago shanghai",
  street: "street alley avenue boulevard sidewalk",
  road: "road path lane crossroads highway trail track",
  village: "village town hamlet cottages rooftops settlement",
  castle: "castle fortress palace citadel kingdom",
  ruins: "ruins ruin temple_ruins acropolis columns colonnade",
  island: "island isle islet archipelago atoll",
  snowfield: "snowfield snowscape snowdrift arctic antarctic tundra glacier polar iceland iceberg",
  underwater: "underwater reef coral deep_sea seabed aquarium",
  space: "space galaxy nebula cosmos universe cosmic orbit interstellar",
  room: "room interior still_life window table kitchen studio indoors desk cafe library",
};

const SUBJECTS = {
  lighthouse: "lighthouse beacon",
  boat: "boat sailboat sail dinghy yacht rowboat canoe gondola fisherman regatta",
  ship: "ship galleon frigate schooner pirate vessel steamer ferry",
  whale: "whale orca leviathan",
  fish: "fish koi goldfish salmon",
  dolphin: "dolphin porpoise",
  swan: "swan duck goose heron",
  tree: "tree oak maple elm beech chestnut",
  pine: "pine fir spruce conifer cedar",
  palm: "palm coconut",
  cypress: "cypress poplar",
  birch: "birch aspen",
  willow: "willow",
  blossom: "blossom cherry sakura cherry_blossom magnolia",
  bird: "bird gull seagull swallow raven crow eagle hawk flock geese crane",
  owl: "owl",
  house: "house cottage farmhouse barn home villa farm",
  cabin: "cabin hut shack lodge",
  tower: "tower belfry spire obelisk turret",
  church: "church cathedral chapel abbey monastery steeple",
  windmill: "windmill mill",
  bridge: "bridge viaduct aqueduct",
  pagoda: "pagoda temple shrine japan japanese kyoto",
  torii: "torii gate",
  pyramid: "pyramid egypt",
  moon: "moon moonlight full_moon crescent lunar moonlit moonrise",
  stars: "star starry stars constellation milky_way starlight",
  sun: "sun",
  planet: "planet saturn jupiter mars",
  rocket: "rocket spaceship spacecraft",
  comet: "comet meteor shooting_star",
  rainbow: "rainbow",
  aurora: "aurora northern_lights borealis",
  cloud: "cloud clouds cumulus",
  flower: "flower bloom wildflower daisy bouquet petal floral blossoming",
  rose: "rose peony camellia",
  tulip: "tulip",
  sunflower: "sunflower",
  poppy: "poppy",
  lotus: "lotus lily waterlily",
  mushroom: "mushroom toadstool",
  cactus: "cactus saguaro",
  rock: "rock boulder rocks stones",
  person:
    "person man woman girl boy child figure traveller traveler wanderer people lovers monk knight silhouette astronaut shepherd",
  umbrella: "umbrella parasol",
  cat: "cat kitten",
  dog: "dog puppy wolf",
  fox: "fox",
  deer: "deer stag elk reindeer doe",
  horse: "horse pony stallion unicorn",
  rabbit: "rabbit hare bunny",
  elephant: "elephant",
  cow: "cow cattle bull",
  sheep: "sheep lamb",
  butterfly: "butterfly moth",
  jellyfish: "jellyfish medusa",
  turtle: "turtle tortoise",
  balloon: "balloon airship hot_air_balloon zeppelin",
  kite: "kite",
  train: "train locomotive railway tram",
  car: "car automobile taxi",
  bicycle: "bicycle bike",
  tent: "tent camp camping",
  campfire: "campfire bonfire fire flame",
  lantern: "lantern lamp streetlight lamppost streetlamp",
  fence: "fence",
  dragon: "dragon wyvern",
  robot: "robot android mech automaton",
  vase: "vase jug pot amphora",
  fruit: "fruit apple pear orange_fruit peach lemon grapes bowl",
  teapot: "teapot tea kettle cup coffee",
  candle: "candle candlelight",
  bottle: "bottle wine flask",
  book: "book books",
};

const TIMES = {
  dawn: "dawn sunrise daybreak aurora_dawn",
  morning: "morning",
  noon: "noon midday day daylight daytime sunny sunlit sunshine sunlight",
  golden: "afternoon golden_hour late_afternoon",
  sunset: "sunset sundown",
  dusk: "dusk evening eventide nightfall gloaming",
  twilight: "twilight blue_hour",
  night: "night midnight nocturne nocturnal nighttime dark darkness",
};

const WEATHER = {
  clear: "clear cloudless",
  cloudy: "cloudy overcast grey_sky",
  storm: "storm stormy tempest thunder thunderstorm lightning hurricane squall",
  rain: "rain rainy drizzle downpour shower",
  snow: "snow snowy blizzard snowfall snowflake snowstorm frost frosty",
  fog: "fog foggy mist misty haze hazy smoke vapour steam",
  wind: "wind windy breeze gale windswept",
};

const SEASONS = {
  spring: "spring april may springtime",
  summer: "summer july june august",
  autumn: "autumn fall october november foliage",
  winter: "winter wintry december january icy",
};

const MOODS = {
  calm: "calm peaceful quiet serene tranquil still gentle silent zen restful",
  dramatic: "dramatic epic majestic grand powerful monumental heroic sublime",
  sad: "melancholy sad lonely gloomy sombre mournful bleak forlorn",
  happy: "happy joyful cheerful bright playful festive lively merry",
  mysterious: "mysterious eerie haunted enigmatic ghostly spooky secret hidden",
  dreamy: "dreamy dreamlike ethereal soft magical fairytale enchanted fantasy surreal romantic",
  cosy: "cosy cozy warm homely inviting",
  cold: "cold cool chilly frozen",
  vivid: "vivid vibrant colourful colorful saturated psychedelic bold",
  muted: "muted faded pale subdued desaturated vintage old ancient nostalgic",
  minimal: "minimal minimalist simple sparse empty vast",
  detailed: "detailed intricate ornate rich lush busy",
};

const COLOURS = {
  "#c8342c": "red crimson scarlet ruby vermilion",
  "#e27a2c": "orange tangerine amber",
  "#efc23e": "yellow lemon_yellow saffron mustard",
  "#d9a63a": "gold golden ochre honey gilded",
  "#4f9446": "green emerald verdant",
  "#8a9a48": "olive moss khaki",
  "#2f9a94": "teal turquoise jade",
  "#3f9fd0": "cyan azure sky_blue cerulean aqua",
  "#2f5fb4": "blue cobalt sapphire ultramarine",
  "#26356e": "navy indigo midnight_blue",
  "#7a4a9e": "purple violet amethyst plum",
  "#b48ac8": "lilac mauve",
  "#d8508c": "magenta fuchsia cerise",
  "#eca0b4": "pink blush coral_pink salmon_pink",
  "#7a4a2c": "brown umber sienna chocolate rust rusty",
  "#efe6d2": "white cream ivory pearl",
  "#8c9298": "grey gray silver slate ash",
  "#24242c": "black ebony onyx charcoal_black",
  "#b46a3c": "copper bronze terracotta brass brick wooden",
  "#d8cfc0": "marble stone paper porcelain linen",
  "#a8d4dc": "glass crystal ice diamond",
  "#a8c8a0": "mint sage pistachio",
  "#8c2c44": "burgundy maroon velvet",
  "#f0a080": "peach_colour apricot coral_red",
};

const MEDIA = {
  "Oil Impasto":
    "oil impasto oil_painting thick_paint van_gogh palette_knife impressionist impressionism expressionist painting",
  "Watercolour Wash": "watercolour watercolor aquarelle wash",
  "Ink Wash": "ink sumi sumi-e ink_wash calligraphy brush_ink",
  Charcoal: "charcoal",
  Linocut: "linocut woodcut woodblock block_print lino engraving",
  "Ukiyo-e": "ukiyo-e ukiyo hokusai hiroshige japanese_print",
  Pastel: "pastel pastels chalk crayon",
  Gouache: "gouache poster_paint tempera acrylic",
  Pointillism: "pointillism pointillist dots seurat stippled",
  "Cross-hatch": "pencil etching hatching cross-hatch crosshatch sketch drawing pen",
  Mosaic: "mosaic tesserae tiles",
  "Stained Glass": "stained_glass",
  Fresco: "fresco mural renaissance",
  Tapestry: "tapestry embroidery woven textile",
  Cyanotype: "cyanotype",
  Blueprint: "blueprint schematic",
  Risograph: "risograph riso screenprint poster",
  Halftone: "halftone comic comics newsprint pop_art",
  "Film Noir": "film_noir noir monochrome black_and_white",
  Polaroid: "polaroid instant_photo snapshot photo photograph",
  "Sepia Tintype": "sepia tintype daguerreotype",
  Autochrome: "autochrome",
  "Low Poly": "low_poly lowpoly polygon polygonal geometric",
  Vaporwave: "vaporwave synthwave retrowave",
  "Neon Night": "neon cyberpunk",
  "Contour Lines": "contour topographic",
  "Flow Field": "flow_field swirling swirls swirl",
};

const NUMBERS = {
  1: "one single lone solitary",
  2: "two pair couple twin",
  3: "three few several some",
  4: "four",
  5: "five",
  7: "six seven many group",
  9: "eight nine ten dozen hundred crowd swarm",
};
const NEGATIONS = "no without not never minus";

function index(kind, table, into) {
  for (const [concept, words] of Object.entries(table)) {
    for (const word of words.split(" ")) into.set(word.replaceAll("_", " "), { kind, concept });
  }
}

function buildLexicon() {
  const lexicon = new Map();
  index("number", NUMBERS, lexicon);
  index("negation", { not: NEGATIONS }, lexicon);
  index("medium", MEDIA, lexicon);
  index("mood", MOODS, lexicon);
  index("colour", COLOURS, lexicon);
  index("season", SEASONS, lexicon);
  index("weather", WEATHER, lexicon);
  index("time", TIMES, lexicon);
  index("place", PLACES, lexicon);
  index("subject", SUBJECTS, lexicon);
  return lexicon;
}

/** word or two-word phrase → { kind, concept }. */
export const LEXICON = buildLexicon();

/** Find a word, trying its singular when it looks like a plural. */
export function lookUp(word) {
  const exact = LEXICON.get(word);
  if (exact) return { ...exact, plural: false };
  for (const singular of singularsOf(word)) {
    const found = LEXICON.get(singular);
    if (found) return { ...found, plural: true };
  }
  return null;
}

function singularsOf(word) {
  if (word.length < 4 || !word.endsWith("s")) return word === "people" ? ["person"] : [];
  const forms = [word.slice(0, -1)];
  if (word.endsWith("es")) forms.push(word.slice(0, -2));
  if (word.endsWith("ies")) forms.push(word.slice(0, -3) + "y");
  if (word.endsWith("ves")) forms.push(word.slice(0, -3) + "f");
  return forms;
}
