"""Categories of models: from their content, or else from the folder names of programs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from schemas.library.sanitize import clean_line

OTHER = "Other"
CHECKPOINT, LORA, DIFFUSION, VAE = "Checkpoint", "LoRA", "Diffusion Model", "VAE"
CONTROLNET, EMBEDDING, UPSCALER = "ControlNet", "Embedding", "Upscaler"
TEXT_ENCODER, HYPERNETWORK = "Text Encoder", "Hypernetwork"
# Folder names of ComfyUI, AUTOMATIC1111, Forge, InvokeAI, SwarmUI, Fooocus and Stability Matrix, in lower case, without
# dashes, underscores, spaces and a final "s".
CATEGORY_BY_FOLDER: Mapping[str, str] = {
    **dict.fromkeys(("checkpoint", "ckpt", "stablediffusion", "diffuser"), CHECKPOINT),
    **dict.fromkeys(("lora", "lycori", "locon"), LORA),
    **dict.fromkeys(("diffusionmodel", "unet"), DIFFUSION),
    **dict.fromkeys(("vae",), VAE),
    **dict.fromkeys(("controlnet", "sdwebuicontrolnet"), CONTROLNET),
    **dict.fromkeys(("embedding", "textualinversion"), EMBEDDING),
    **dict.fromkeys(("upscaler", "upscalemodel", "latentupscalemodel", "spandrelimagetoimage"), UPSCALER),
    **dict.fromkeys(("esrgan", "realesrgan", "bsrgan", "swinir", "scunet", "ldsr", "dat"), UPSCALER),
    **dict.fromkeys(("clip", "textencoder", "clipembed", "t5encoder"), TEXT_ENCODER),
    **dict.fromkeys(("hypernetwork",), HYPERNETWORK),
}
# InvokeAI keeps checkpoints in a folder "main" below that of the base model.
INVOKEAI_MAIN = "main"
INVOKEAI_BASES = frozenset(
    {"any", "sd1", "sd2", "sd3", "sdxl", "sdxlrefiner", "flux", "flux2", "cogview4", "qwenimage", "zimage"}
)
# InvokeAI 6 gives each model a folder that is named by its id.
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
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
# By Civitai's type in lower case, and by the name of the category that has none.
CATEGORY_BY_TYPE: Mapping[str, str] = {
    **{type_.lower(): category for category, type_ in reversed(list(CIVITAI_TYPE_BY_CATEGORY.items()))},
    **dict.fromkeys(("locon", "dora", "lycoris"), LORA),
    TEXT_ENCODER.lower(): TEXT_ENCODER,
}
# Categories whose files a catalogue also lists with a checkpoint, under its type.
PARTS_OF_CHECKPOINTS = (DIFFUSION, VAE, TEXT_ENCODER)
MAX_FOLDERS = 40
# Only the last folders of a root describe its contents ("models/Lora", "loras/sdxl").
ROOT_FOLDERS = 2
MODELS_FOLDER = "model"


@dataclass(frozen=True, slots=True)
class Category:
    """The category of a file; ``subcategory`` is the folder inside the category's folder."""

    name: str
    subcategory: str | None = None


def categorize(relative_path: str, type_: str | None = None, root: str = "") -> Category:
    """Return the category of a file by its type and its path relative to ``root``, both with ``/`` as separator.

    It is that of the type. Where the type has none, it is that of the first folder with a known name, or else of the
    root's name, or else the name of the first folder.
    """
    folders = _clean_folders(relative_path)
    place, inside = _find_category_folder(folders)
    if place is None:
        place = _category_of_root(root)
    by_type = CATEGORY_BY_TYPE.get((type_ or "").lower())
    if by_type == CHECKPOINT and place in PARTS_OF_CHECKPOINTS:
        by_type = None
    name = by_type or place
    if name is not None:
        return Category(name, inside[0] if inside else None)
    return Category(folders[0], folders[1] if len(folders) > 1 else None) if folders else Category(OTHER)


def civitai_type(category: str) -> str:
    """Return Civitai's model type for a category."""
    return CIVITAI_TYPE_BY_CATEGORY.get(category, OTHER)


def is_category_folder(name: str) -> bool:
    """Whether a folder of this name holds models of one category, so that it is not the name of one model."""
    return folder_key(name) in CATEGORY_BY_FOLDER or bool(_UUID.fullmatch(name))


def folder_key(name: str) -> str:
    """Return a folder's name as the tables here have it."""
    return re.sub(r"[-_ ]", "", name.lower()).removesuffix("s")


def _clean_folders(relative_path: str) -> list[str]:
    parts = [part for part in relative_path.split("/") if part not in ("", ".")][:-1]
    return [clean_line(part) or "?" for part in parts[:MAX_FOLDERS] if not _UUID.fullmatch(part)]


def _find_category_folder(folders: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    """Return the category of the first folder that has one, and the folders in it; without one None and all."""
    for index, folder in enumerate(folders):
        key = folder_key(folder)
        known = CATEGORY_BY_FOLDER.get(key)
        if key == INVOKEAI_MAIN and index and folder_key(folders[index - 1]) in INVOKEAI_BASES:
            known = CHECKPOINT
        if known:
            return known, folders[index + 1 :]
    return None, folders


def _category_of_root(root: str) -> str | None:
    return next(filter(None, map(CATEGORY_BY_FOLDER.get, _last_folders(root))), None)


def _last_folders(root: str) -> Iterator[str]:
    for part in reversed(root.rstrip("/").split("/")[-ROOT_FOLDERS:]):
        key = folder_key(part)
        if key == MODELS_FOLDER:
            return
        yield key
