"""Models in several files: diffusers folders, with a subfolder for each part, and files that are cut into shards.

All files of such a model are one version. Only its main file, the first shard of the denoiser, tells what it is: the
text encoder and the VAE are the same in many models.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

INDEX_FILE = b"model_index.json"
# The keys of a file's header summary for the model that it is a part of.
PART, SHARD = "part", "shard"
DENOISER = re.compile(r"(?:unet|transformer)(?:_\d)?", re.ASCII)
# Subfolders that only a diffusers folder has; "unet" and "vae" are also folders of other programs.
_TYPICAL_FOLDERS = frozenset({"text_encoder", "text_encoder_2", "tokenizer", "scheduler"})
_PART = re.compile(
    r"(?:unet|transformer|vae|vqvae|movq|text_encoder|image_encoder|safety_checker|prior|decoder|controlnet|connectors)"
    r"(?:_\d)?",
    re.ASCII,
)
_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})", re.ASCII | re.DOTALL)
# Names of files that say nothing; the folder has the name of the model.
_GENERIC_STEM = re.compile(
    r"(?:(?:flux_)?diffusion_pytorch_model|(?:pytorch_)?model|pytorch_lora_weights|adapter_model|learned_embeds)"
    r"(?:[._-](?:fp16|bf16|fp32|non_ema|ema))?",
    re.ASCII | re.IGNORECASE,
)
# The cache of the Hugging Face hub: models--OWNER--NAME/snapshots/REVISION.
_HUB_FOLDER = re.compile(r"(?:models--[^/]{0,200}?--|models--)([^/]{1,200})/snapshots/[0-9a-f]{7,64}$")


@dataclass(frozen=True, slots=True)
class ModelPart:
    """The place of a file in a model of several files.

    ``location`` identifies the model below its root: the path of its folder, or of the shards without their numbers.
    ``part`` is the subfolder of a diffusers folder, ``shard`` for example "1/3"; one of the two is never None.
    """

    location: bytes
    part: str | None = None
    shard: str | None = None

    def to_header(self) -> dict[str, Any]:
        """Return the entries of the file's header summary."""
        entries = {PART: self.part, SHARD: self.shard}
        return {name: value for name, value in entries.items() if value is not None}


def is_part(header: Mapping[str, Any]) -> bool:
    """Whether a file with this header summary is a part of a model of several files."""
    return PART in header or SHARD in header


def is_main_file(header: Mapping[str, Any]) -> bool:
    """Whether a file with this header summary tells what its model is; a model of one file always does."""
    part, shard = header.get(PART), header.get(SHARD)
    return (part is None or bool(DENOISER.fullmatch(str(part)))) and (shard is None or str(shard).startswith("1/"))


def is_diffusers_folder(subfolders: Iterable[str], *, has_index: bool) -> bool:
    """Whether a folder with these subfolders is one model, with the file ``INDEX_FILE`` or without."""
    names = set(subfolders)
    return has_index or (any(map(DENOISER.fullmatch, names)) and not names.isdisjoint(_TYPICAL_FOLDERS))


def find_part(folder: bytes, stem: str, diffusers_folder: bytes | None) -> ModelPart | None:
    """Return the part that a file in ``folder`` is; None if it is a model of its own.

    ``diffusers_folder`` is the diffusers folder that ``folder`` is a direct subfolder of.
    """
    match = _SHARD.fullmatch(stem)
    shard = f"{int(match[2])}/{int(match[3])}" if match else None
    base = match[1] if match else stem
    part = folder.rpartition(b"/")[2].decode(errors="replace")
    if diffusers_folder is not None and _PART.fullmatch(part) and _GENERIC_STEM.fullmatch(base):
        return ModelPart(diffusers_folder, part, shard)
    location = b"/".join(filter(None, (folder, base.encode(errors="surrogateescape"))))
    return ModelPart(location, None, shard) if shard else None


def is_generic_stem(stem: str) -> bool:
    """Whether a file is named like many others, so that the name of its folder says more."""
    return bool(_GENERIC_STEM.fullmatch(stem))


def strip_shard(stem: str) -> str:
    """Return the stem without the number of the shard."""
    match = _SHARD.fullmatch(stem)
    return match[1] if match else stem


def folder_title(path: str) -> str:
    """Return the name that a folder gives to the model in it; that of the repository in the cache of a hub."""
    match = _HUB_FOLDER.search(path[-1000:])
    return match[1] if match else path.rpartition("/")[2]
