"""What the path of a model file says about it: category and type, epoch, title."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.library.sanitize import clean_line
from schemas.library.sidecars.local_file import CIVITDL_STEM

OTHER = "Other"
CHECKPOINT, LORA, DIFFUSION, VAE = "Checkpoint", "LoRA", "Diffusion Model", "VAE"
CONTROLNET, EMBEDDING, UPSCALER = "ControlNet", "Embedding", "Upscaler"
TEXT_ENCODER, HYPERNETWORK = "Text Encoder", "Hypernetwork"
# Folder names of various programs, in lower case, without dashes, underscores, spaces and a final "s".
CATEGORY_BY_FOLDER: Mapping[str, str] = {
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
# Civitai does not distinguish diffusion models from checkpoints.
CIVITAI_TYPE_BY_CATEGORY: Mapping[str, str] = {
    CHECKPOINT: "Checkpoint",
    LORA: "LORA",
    DIFFUSION: "Checkpoint",
    VAE: "VAE",
    CONTROLNET: "Controlnet",
    EMBEDDING: "TextualInversion",
    UPSCALER: "Upscaler",
    HYPERNETWORK: "Hypernetwork",
}
# By Civitai's type in lower case: what a header, the tensors or a sidecar says where no folder does.
CATEGORY_BY_TYPE: Mapping[str, str] = {
    **{type_.lower(): category for category, type_ in reversed(list(CIVITAI_TYPE_BY_CATEGORY.items()))},
    **dict.fromkeys(("locon", "dora", "lycoris"), LORA),
}
MAX_FOLDERS = 40
# Six digits are an epoch only with leading zeros; otherwise they are a date.
_EPOCH = re.compile(r"(.*[^-_ ])(?:-e|[-_]epoch[-_]?)(\d{1,6})|(.*[^-_ ])-(00\d{4})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Category:
    """The category of a file; ``subcategory`` is the folder inside the category's folder."""

    name: str
    subcategory: str | None = None


def categorize(relative_path: str, type_: str | None = None) -> Category:
    """Return the category of a file by its path relative to the library's root, with ``/`` as separator.

    It is that of the first folder with a known name, or else of its type, or else the name of the first folder.
    """
    parts = [part for part in relative_path.split("/") if part not in ("", ".")][:-1]
    folders = [clean_line(part) or "?" for part in parts[:MAX_FOLDERS]]
    for index, folder in enumerate(folders):
        if known := CATEGORY_BY_FOLDER.get(re.sub(r"[-_ ]", "", folder.lower()).removesuffix("s")):
            return Category(known, folders[index + 1] if len(folders) > index + 1 else None)
    if by_type := CATEGORY_BY_TYPE.get((type_ or "").lower()):
        return Category(by_type, folders[0] if folders else None)
    return Category(folders[0], folders[1] if len(folders) > 1 else None) if folders else Category(OTHER)


def civitai_type(category: str) -> str:
    """Return Civitai's model type for a category."""
    return CIVITAI_TYPE_BY_CATEGORY.get(category, OTHER)


def parse_epoch(stem: str) -> tuple[str, int] | None:
    """Return the training's name and the epoch from a file's stem; None if it names no epoch.

    Trainers write ``name-000010``, people ``name-e10`` and ``name_epoch_10``.
    """
    match = _EPOCH.fullmatch(stem)
    return (match[1] or match[3], int(match[2] or match[4])) if match else None


def title_from_stem(stem: str) -> str:
    """Return a readable title for a file's stem: without civitdl's ids, with spaces for underscores."""
    match = CIVITDL_STEM.fullmatch(stem)
    return clean_line((match[1] if match else stem).replace("_", " ")) or stem
