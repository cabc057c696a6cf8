"""Base models by the names that trainers write, from an explicit table.

Only a spelling in the table counts as a base model: a successor whose name begins like that of its predecessor
(FLUX.2, SD 3.5, Wan 2.2) is never taken for it. A name that is not in the table is shown unchanged. Case and
punctuation do not count, so "Flux.1-dev", "flux-1-dev" and "flux_1_dev" are one spelling. Base models have Civitai's
names as far as Civitai has one.
"""

import re
from collections.abc import Mapping

from schemas.library.sanitize import clean_line

MAX_NAME_CHARS = 100
SD1, SD2, SDXL, SDXL_REFINER = "SD 1.5", "SD 2.1", "SDXL 1.0", "SDXL Refiner"
SD3, SD35_MEDIUM, SD35_LARGE = "SD 3", "SD 3.5 Medium", "SD 3.5 Large"
FLUX1_DEV, FLUX1_SCHNELL, FLUX1_FILL = "Flux.1 D", "Flux.1 S", "Flux.1 Fill"
FLUX1_KONTEXT, FLUX1_KREA = "Flux.1 Kontext", "Flux.1 Krea"
FLUX2_DEV, FLUX2_KLEIN_9B, FLUX2_KLEIN_4B = "Flux.2 D", "Flux.2 Klein 9B", "Flux.2 Klein 4B"
PONY, ILLUSTRIOUS, NOOBAI = "Pony", "Illustrious", "NoobAI"
CHROMA, AURAFLOW, KOLORS, LUMINA, HIDREAM = "Chroma", "AuraFlow", "Kolors", "Lumina", "HiDream"
HUNYUAN_VIDEO, HUNYUAN_IMAGE = "Hunyuan Video", "Hunyuan Image 2.1"
QWEN, QWEN_EDIT = "Qwen", "Qwen Image Edit"
WAN, WAN_22_5B = "Wan Video", "Wan Video 2.2 TI2V-5B"
ZIMAGE, ZIMAGE_TURBO = "ZImageBase", "ZImageTurbo"

# The spellings of kohya's sd-scripts and musubi-tuner, ai-toolkit, OneTrainer, SimpleTuner, ModelSpec, the repositories
# of the models, and converters to GGUF.
SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "SD 1.4": ("sd_1.4", "sd_v1.4", "stable-diffusion-v1-4"),
    SD1: (
        *("sd", "sd1", "sd1x", "sd_v1", "sd1.5", "sd_1.5", "sd_v1.5", "sd15_base", "sd-1"),
        *("stable-diffusion-v1", "stable-diffusion-1", "stable-diffusion-v1-5", "stable-diffusion-1.5"),
    ),
    "SD 1.5 LCM": ("sd_1.5_lcm",),
    "SD 1.5 Hyper": ("sd_1.5_hyper", "hyper-sd15"),
    "SD 2.0": ("sd_2.0", "sd_v2.0", "stable-diffusion-2-0", "stable-diffusion-2-base"),
    SD2: (
        *("sd2", "sd2x", "sd_v2", "sd_v2_v", "sd_2.1", "sd_v2.1", "sd_2.1_base"),
        *("stable-diffusion-v2", "stable-diffusion-2", "stable-diffusion-v2-1", "stable-diffusion-2-1"),
        *("stable-diffusion-v2-512", "stable-diffusion-v2-768", "stable-diffusion-v2-768-v"),
        *("stable-diffusion-2-1-base", "stable-diffusion-v2-512-base"),
    ),
    "SD 2.0 768": (),
    "SD 2.1 768": (),
    "SD 2.1 Unclip": ("stable-diffusion-2-1-unclip",),
    "SDXL 0.9": ("sdxl_0.9", "sdxl_base_v0-9", "stable-diffusion-xl-base-0.9"),
    SDXL: (
        *("sdxl", "sd_xl", "sdxl1", "sdxl_1.0", "sdxl_v1", "sdxl_base", "sdxl_base_v1-0", "sdxl_base_1.0"),
        *("sd_xl_base_1.0", "stable-diffusion-xl", "stable-diffusion-xl-v1", "stable-diffusion-xl-v1-base"),
        *("stable-diffusion-xl-1.0", "stable-diffusion-xl-base-1.0", "stable-diffusion-xl-base"),
        *("stable-diffusion-xl-10-base", "sdxl_v1.0", "sdxl10"),
    ),
    SDXL_REFINER: (
        *("sdxl_refiner", "sdxl-refiner-v1", "sdxl_refiner_v1-0", "sd_xl_refiner_1.0"),
        *("stable-diffusion-xl-v1-refiner", "stable-diffusion-xl-refiner", "stable-diffusion-xl-refiner-1.0"),
    ),
    "SDXL Turbo": (
        *("sdxl_turbo", "sdxl_turbo_v1", "sd_xl_turbo_1.0"),
        *("stable-diffusion-xl-turbo", "stable-diffusion-xl-v1-turbo", "stable-diffusion-xl-turbo-v1"),
    ),
    "SDXL Lightning": ("sdxl_lightning", "stable-diffusion-xl-lightning", "stable-diffusion-xl-v1-lightning"),
    "SDXL 1.0 LCM": ("sdxl_lcm", "lcm-sdxl"),
    "SDXL Distilled": (),
    "SDXL Hyper": ("sdxl_hyper", "hyper-sdxl"),
    PONY: ("pony", "pony_v6", "ponyxl", "pony_diffusion", "pony_diffusion_v6", "pony_diffusion_v6_xl", "sdxl_pony"),
    "Pony V7": ("pony_v7", "pony_diffusion_v7"),
    ILLUSTRIOUS: ("illustrious", "illustrious_xl", "illustrious-xl-v0.1", "illustrious-xl-v1.0", "sdxl_illustrious"),
    NOOBAI: ("noobai", "noobai_xl", "noobai-xl-v1.0", "noobai-xl-vpred", "sdxl_noobai"),
    SD3: (
        *("sd3", "sd3_m", "sd3_medium", "sd_3", "sd3.0"),
        *("stable-diffusion-3", "stable-diffusion-v3", "stable-diffusion-3-medium", "stable-diffusion-v3-medium"),
    ),
    "SD 3.5": ("sd3.5", "sd_3.5", "stable-diffusion-3.5", "stable-diffusion-3-5"),
    SD35_MEDIUM: ("sd3.5m", "sd3.5_medium", "sd35_m", "stable-diffusion-3.5-medium", "sd3_3.5_medium"),
    SD35_LARGE: ("sd3.5l", "sd3.5_large", "stable-diffusion-3.5-large", "sd3_3.5_large"),
    "SD 3.5 Large Turbo": ("sd3.5_large_turbo", "stable-diffusion-3.5-large-turbo"),
    FLUX1_DEV: ("flux", "flux1", "flux_v1", "flux_dev", "flux_d", "flux-1-dev", "flux1d", "flux_dev_1"),
    FLUX1_SCHNELL: ("flux_schnell", "flux_s", "flux-1-schnell", "flux1s"),
    FLUX1_KONTEXT: ("kontext", "flux_kontext", "flux-1-kontext", "flux-1-kontext-dev", "flux_kontext_dev"),
    FLUX1_KREA: ("krea", "flux_krea", "flux-1-krea", "flux-1-krea-dev", "flux_krea_dev"),
    FLUX1_FILL: (
        *("flux_fill", "flux_fill_dev", "flux-1-fill", "flux-1-fill-dev"),
        *("flux_dev_fill", "flux-1-dev-fill", "flux_fill_dev_1"),
    ),
    FLUX2_DEV: ("flux2", "flux2_dev", "flux_2", "flux-2-dev"),
    "Flux.2 Klein": ("flux2_klein", "flux-2-klein"),
    FLUX2_KLEIN_9B: ("flux2_klein_9b", "flux-2-klein-9b"),
    "Flux.2 Klein 9B-base": ("flux2_klein_9b_base", "flux-2-klein-base-9b"),
    FLUX2_KLEIN_4B: ("flux2_klein_4b", "flux-2-klein-4b"),
    "Flux.2 Klein 4B-base": ("flux2_klein_4b_base", "flux-2-klein-base-4b"),
    CHROMA: ("chroma", "chroma1", "chroma1-base", "chroma1-hd"),
    "Chroma Radiance": ("chroma_radiance", "chroma1-radiance"),
    AURAFLOW: ("auraflow", "aura_flow", "aura", "auraflow-v0.3"),
    KOLORS: ("kolors", "kwai-kolors"),
    LUMINA: ("lumina", "lumina2", "lumina-image-2.0", "lumina_image_2", "lumina-2"),
    HIDREAM: ("hidream", "hidream-i1", "hidream_i1_full", "hidream_full", "hidream_i1_dev", "hidream_i1_fast"),
    "HiDream E1": ("hidream_e1", "hidream-e1-full"),
    "Hunyuan 1": ("hunyuan_dit", "hunyuandit", "hunyuan-dit-v1", "hunyuan-dit-v1.2", "hydit"),
    HUNYUAN_IMAGE: ("hunyuan_image", "hunyuan_image_2", "hunyuanimage-2.1", "hunyuan_image_2_1"),
    "Hunyuan Image 3": ("hunyuan_image_3", "hunyuanimage-3.0"),
    HUNYUAN_VIDEO: ("hunyuan_video", "hunyuanvideo", "hyvid", "hunyuan-video-t2v", "framepack"),
    "Hunyuan Video 1.5": ("hunyuan_video_1_5", "hunyuanvideo-1.5"),
    QWEN: ("qwen_image", "qwen", "qwen_image_2512"),
    QWEN_EDIT: (
        *("qwen_image_edit", "qwen_edit", "qwen_image_edit_plus", "qwen_edit_plus"),
        *("qwen-image-edit-2509", "qwen-image-edit-2511"),
        *("qwen_image_edit_plus_2509", "qwen_image_edit_plus_2511"),
    ),
    "Qwen Image Layered": ("qwen_image_layered",),
    WAN: ("wan", "wan_video", "wan2", "wan21", "wan2.1", "wan_2.1", "wan-video-2.1"),
    "Wan Video 1.3B t2v": ("wan21_1b", "wan2.1_1.3b", "wan2.1-t2v-1.3b", "wan2.1_t2v_1.3b"),
    "Wan Video 14B t2v": ("wan21_14b", "wan2.1_14b", "wan2.1-t2v-14b"),
    "Wan Video 14B i2v 480p": ("wan21_14b_i2v480p", "wan21_i2v_14b_480p", "wan2.1-i2v-14b-480p"),
    "Wan Video 14B i2v 720p": ("wan21_14b_i2v", "wan21_i2v_14b_720p", "wan2.1-i2v-14b-720p"),
    "Wan Video 2.2": ("wan22", "wan2.2", "wan_2.2", "wan-video-2.2"),
    "Wan Video 2.2 T2V-A14B": ("wan22_14b", "wan22_14b_t2v", "wan2.2-t2v-a14b", "wan2.2_t2v_14b"),
    "Wan Video 2.2 I2V-A14B": ("wan22_14b_i2v", "wan2.2-i2v-a14b", "wan2.2_i2v_14b"),
    WAN_22_5B: ("wan22_5b", "wan2.2-ti2v-5b", "wan2.2_5b"),
    ZIMAGE: ("z_image", "zimage", "z-image-base"),
    ZIMAGE_TURBO: ("z_image_turbo", "zimage:turbo"),
    "LTXV": ("ltxv", "ltx", "ltx_video"),
    "LTXV2": ("ltx2", "ltxv2", "ltx-2"),
    "Mochi": ("mochi", "mochi-1", "mochi-1-preview"),
    "CogVideoX": ("cogvideox", "cogvideox-5b", "cogvideox-2b"),
    "PixArt a": ("pixart_alpha", "pixart", "pixart-a"),
    "PixArt E": ("pixart_sigma", "pixart-e"),
    "Stable Cascade": ("stable_cascade", "stable-cascade-v1", "stable-cascade-stage-c"),
    "SVD": ("svd", "stable-video-diffusion", "stable-video-diffusion-img2vid"),
    "SVD XT": ("svd_xt", "stable-video-diffusion-img2vid-xt"),
    "Playground v2": ("playground_v2", "playground-v2.5", "playgroundv2.5"),
}
# The words in file names of checkpoints that tell the base model of a fine-tuned file.
_SDXL_CHECKPOINTS = (
    (re.compile(r"noob[-_ ]?(?:ai|xl)", re.IGNORECASE), NOOBAI),
    (re.compile(r"illustrious|(?<![a-z])il[-_ ]?xl", re.IGNORECASE), ILLUSTRIOUS),
    (re.compile(r"pony[-_ ]?(?:diffusion|xl|v6)", re.IGNORECASE), PONY),
    (re.compile(r"sd[-_ ]?xl[-_ ]?turbo", re.IGNORECASE), "SDXL Turbo"),
    (re.compile(r"sd[-_ ]?xl[-_ ]?lightning", re.IGNORECASE), "SDXL Lightning"),
    (re.compile(r"sd[-_ ]?xl[-_ ]?refiner", re.IGNORECASE), SDXL_REFINER),
)
_FLUX1_CHECKPOINTS = (
    (re.compile(r"flux[-_. ]?1?[-_ ]?(?:dev[-_ ])?kontext", re.IGNORECASE), FLUX1_KONTEXT),
    (re.compile(r"flux[-_. ]?1?[-_ ]?(?:dev[-_ ])?krea", re.IGNORECASE), FLUX1_KREA),
    (re.compile(r"flux[-_. ]?1?[-_ ]?(?:dev[-_ ])?fill", re.IGNORECASE), FLUX1_FILL),
    (re.compile(r"flux[-_. ]?1?[-_ ]?schnell", re.IGNORECASE), FLUX1_SCHNELL),
)
CHECKPOINT_NAMES: Mapping[str, tuple[tuple[re.Pattern[str], str], ...]] = {
    SDXL: _SDXL_CHECKPOINTS,
    FLUX1_DEV: _FLUX1_CHECKPOINTS,
}


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


_BY_KEY: Mapping[str, str] = {
    _key(spelling): base_model for base_model, spellings in SPELLINGS.items() for spelling in (base_model, *spellings)
}


def find_base_model(architecture: str) -> str | None:
    """Return the base model of the table with this spelling; None if the table does not have it.

    ModelSpec's adapter after the slash and the owner of a repository before it do not count.
    """
    parts = architecture[:MAX_NAME_CHARS].split("/")
    return next((_BY_KEY[key] for part in parts[:2] if (key := _key(part)) in _BY_KEY), None)


def name_base_model(architecture: str | None, checkpoint: str | None = None) -> str | None:
    """Return the base model that a trainer names, as it names itself if the table does not have it; None if blank.

    ``checkpoint`` is the file name of the checkpoint that was trained on: trainers write only the family of those
    that descend from SDXL and FLUX.1.
    """
    text = clean_line(architecture or "")
    if not text:
        return None
    base_model = find_base_model(text)
    if base_model is None:
        return text.partition("/")[0].strip()[:MAX_NAME_CHARS] or None
    descendants = CHECKPOINT_NAMES.get(base_model, ())
    return next((name for pattern, name in descendants if pattern.search((checkpoint or "")[:1000])), base_model)
