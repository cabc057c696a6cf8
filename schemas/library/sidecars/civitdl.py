"""The files of the downloader civitdl.

Beside ``<name>-mid_<model>-vid_<version>.safetensors`` it makes the folder ``extra_data-vid_<version>`` with Civitai's
whole response about the model, ``model_dict-mid_<model>-vid_<version>.json``, and images, each with a JSON file.
"""

from collections.abc import Iterable

from schemas.library.metadata import ImageMetadata, Metadata, Source, SourceMetadata, SourcePriority
from schemas.library.sidecars.civitai_images import parse_image
from schemas.library.sidecars.civitai_reader import MODEL_FIELDS, VERSION_FIELDS, parse_metadata
from schemas.library.sidecars.civitai_writer import build_model, encode_sidecar
from schemas.library.sidecars.json_values import load_sidecar
from schemas.library.sidecars.local_file import CIVITDL_STEM, UNKNOWN_FILE, LocalFile

FIELDS = VERSION_FIELDS | MODEL_FIELDS
FOLDER_PREFIX = "extra_data-"
# The types that civitdl downloads.
IMAGE_EXTENSIONS = frozenset({"jpeg", "jpg", "png", "webp", "gif"})
# The suffixes after an image's stem in the name of its JSON file, today and in older versions.
ENTRY_SUFFIXES = (".json", "-prompt.json", ".image.json")


def parse_civitdl_ids(stem: str) -> tuple[int, int] | None:
    """Return Civitai's ids of model and version from a file's stem; None if it has none."""
    match = CIVITDL_STEM.fullmatch(stem)
    return (int(match[2]), int(match[3])) if match else None


def folder_name(version_id: int) -> str:
    """Return the name of the folder beside the model."""
    return f"{FOLDER_PREFIX}vid_{version_id}"


def model_dict_name(model_id: int, version_id: int) -> str:
    """Return the name of the file with Civitai's response."""
    return f"model_dict-mid_{model_id}-vid_{version_id}.json"


def find_images(names: Iterable[str]) -> list[tuple[str, str | None]]:
    """Return the images among the files of the folder, sorted by name, each with its JSON file if there is one."""
    sorted_names = sorted(names)
    by_lower = {name.lower(): name for name in sorted_names}
    images = []
    for name in sorted_names:
        stem, _, extension = name.rpartition(".")
        if stem and extension.lower() in IMAGE_EXTENSIONS:
            entries = (by_lower.get(f"{stem}{suffix}".lower()) for suffix in ENTRY_SUFFIXES)
            images.append((name, next((entry for entry in entries if entry), None)))
    return images


def read(raw: bytes, time_ms: int, local: LocalFile = UNKNOWN_FILE) -> list[SourceMetadata]:
    """Read the model, all its versions, and the version that ``local`` is by its name.

    Raises:
        FormatError: the file cannot be read at all.
    """
    metadata = parse_metadata(load_sidecar(raw), local)
    if metadata.is_empty:
        return []
    return [SourceMetadata(Source.CIVITDL, SourcePriority.CIVITAI, metadata, time_ms)]


def read_image(raw: bytes, file: str) -> ImageMetadata | None:
    """Read the JSON file of the image ``file``; None if it describes a video or a sound.

    Raises:
        FormatError: the JSON file cannot be read at all.
    """
    return parse_image(load_sidecar(raw), file)


def write(metadata: Metadata, local: LocalFile = UNKNOWN_FILE) -> bytes:
    """Write a ``model_dict`` file."""
    return encode_sidecar(build_model(metadata, local))
