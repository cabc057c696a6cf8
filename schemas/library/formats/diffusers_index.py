"""``model_index.json`` of a diffusers folder: the base model that it names."""

from collections.abc import Mapping

from schemas.format_error import FormatError
from schemas.library.formats.base_models import find_base_model
from schemas.untrusted_json import JsonReader

MAX_INDEX_BYTES = 1_000_000
JSON_READER = JsonReader("The list of the parts")
# By the class of the pipeline, as far as the class is made for one base model.
_BASE_MODELS: Mapping[str, str] = {
    "StableDiffusionXL": "sdxl",
    "Flux": "flux",
    "FluxKontext": "flux-1-kontext",
    "FluxFill": "flux-1-fill",
    "Flux2": "flux2",
    "Flux2Klein": "flux2_klein",
    "Chroma": "chroma",
    "AuraFlow": "auraflow",
    "Kolors": "kolors",
    "Lumina": "lumina",
    "Lumina2": "lumina",
    "HiDreamImage": "hidream",
    "HunyuanDiT": "hunyuandit",
    "HunyuanImage": "hunyuan_image",
    "HunyuanVideo": "hunyuan_video",
    "QwenImage": "qwen_image",
    "QwenImageEdit": "qwen_image_edit",
    "QwenImageEditPlus": "qwen_image_edit",
    "Wan": "wan",
    "WanImageToVideo": "wan",
    "ZImage": "z_image",
    "LTX": "ltxv",
    "Mochi": "mochi",
    "CogVideoX": "cogvideox",
    "PixArtAlpha": "pixart_alpha",
    "PixArtSigma": "pixart_sigma",
    "StableVideoDiffusion": "svd",
}


def read_diffusers_index(raw: bytes) -> str | None:
    """Return the base model by the repository or the class of the pipeline; None if neither tells.

    Raises:
        FormatError: the file cannot be read at all.
    """
    if len(raw) > MAX_INDEX_BYTES:
        raise FormatError("too_large", f"The list of the parts has more than {MAX_INDEX_BYTES:,} bytes.")
    try:
        document = JSON_READER.parse(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise FormatError("not_text", "The list of the parts is not UTF-8.") from error
    if not isinstance(document, dict):
        raise FormatError("wrong_shape", "The list of the parts is JSON but not an object.")
    repository, class_name = document.get("_name_or_path"), document.get("_class_name")
    if isinstance(repository, str) and (known := find_base_model(repository)):
        return known
    name = class_name if isinstance(class_name, str) else ""
    name = name.removesuffix("Pipeline").removesuffix("Img2Img").removesuffix("Inpaint")
    return find_base_model(_BASE_MODELS[name]) if name in _BASE_MODELS else None
