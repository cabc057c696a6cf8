"""What a file's place and name say of a model: its category and type, its epoch, a name to read. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.library.sanitize import clean_line
from schemas.library.sidecars.local_file import CIVITDL_STEM

OTHER = "Other"
CHECKPOINT, LORA, DIFFUSION, VAE = "Checkpoint", "LoRA", "Diffusion Model", "VAE"
CONTROLNET, EMBEDDING, UPSCALER = "ControlNet", "Embedding", "Upscaler"
TEXT_ENCODER, HYPERNETWORK = "Text Encoder", "Hypernetwork"
# Folders as programs name them, without capitals, dashes, underscores and the plural's s.
CATEGORIES: Mapping[str, str] = {
    **dict.fromkeys(("checkpoint", "stablediffusion"), CHECKPOINT),
    **dict.fromkeys(("lora", "lycori"), LORA),
    **dict.fromkeys(("diffusionmodel", "unet"), DIFFUSION),
    **dict.fromkeys(("vae",), VAE),
    **dict.fromkeys(("controlnet",), CONTROLNET),
    **dict.fromkeys(("embedding",), EMBEDDING),
    **dict.fromkeys(("upscalemodel", "esrgan", "realesrgan"), UPSCALER),
    **dict.fromkeys(("clip", "textencoder"), TEXT_ENCODER),
    **dict.fromkeys(("hypernetwork",), HYPERNETWORK),
}
# The catalogue's word for what lies in a category. It knows no diffusion models apart from checkpoints.
TYPES: Mapping[str, str] = {
    CHECKPOINT: "Checkpoint",
    LORA: "LORA",
    DIFFUSION: "Checkpoint",
    VAE: "VAE",
    CONTROLNET: "Controlnet",
    EMBEDDING: "TextualInversion",
    UPSCALER: "Upscaler",
    HYPERNETWORK: "Hypernetwork",
}
# Six digits are an epoch only with leading zeros: others are dates.
_EPOCH = re.compile(r"(.*[^-_ ])(?:-e|[-_]epoch[-_]?)(\d{1,6})|(.*[^-_ ])-(00\d{4})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Category:
    """Where a file lies, in words: ``subcategory`` is the folder within the category's."""

    name: str
    subcategory: str | None = None


def categorize(relative_path: str) -> Category:
    """The place of a file, by its path from the library's root, with ``/`` between the parts."""
    parts = [part for part in relative_path.split("/") if part not in ("", ".")][:-1]
    folders = [clean_line(part) or "?" for part in parts[:2]]
    if not folders:
        return Category(OTHER)
    plain = re.sub(r"[-_ ]", "", folders[0].lower()).removesuffix("s")
    return Category(CATEGORIES.get(plain, folders[0]), folders[1] if len(folders) > 1 else None)


def civitai_type(category: str) -> str:
    """The catalogue's type of what lies in a category."""
    return TYPES.get(category, OTHER)


def parse_epoch(stem: str) -> tuple[str, int] | None:
    """The name of a training and the epoch at which it was saved; None for a name that says no epoch.

    Trainers write ``name-000010``, people ``name-e10`` and ``name_epoch_10``.
    """
    found = _EPOCH.fullmatch(stem)
    return (found[1] or found[3], int(found[2] or found[4])) if found else None


def title_from_stem(stem: str) -> str:
    """A name for people from a file's name without its ending: no ids of a downloader, spaces for underscores."""
    found = CIVITDL_STEM.fullmatch(stem)
    return clean_line((found[1] if found else stem).replace("_", " ")) or stem
