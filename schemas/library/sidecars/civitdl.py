"""The layout of the downloader civitdl: its names, its folder beside the model, and the files in it. Pure.

Beside ``<name>-mid_<model>-vid_<version>.safetensors``
lies the folder ``extra_data-vid_<version>`` with ``model_dict-mid_<model>-vid_<version>.json``, the catalogue's
whole answer about the model, and pictures, each with a JSON file of its own.
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
IMAGE_EXTENSIONS = (".jpeg", ".jpg", ".png", ".webp", ".gif")
# What the file with a picture's entry is called after the picture's name: now, and in older versions.
ENTRY_SUFFIXES = (".json", "-prompt.json", ".image.json")


def parse_civitdl_ids(stem: str) -> tuple[int, int] | None:
    """The catalogue's ids of model and version in a file's name without its ending; None if it has none."""
    found = CIVITDL_STEM.fullmatch(stem)
    return (int(found[2]), int(found[3])) if found else None


def folder_name(version_id: int) -> str:
    """The name of the folder beside the model."""
    return f"{FOLDER_PREFIX}vid_{version_id}"


def model_dict_name(model_id: int, version_id: int) -> str:
    """The name of the file in it that holds the catalogue's answer."""
    return f"model_dict-mid_{model_id}-vid_{version_id}.json"


def find_images(names: Iterable[str]) -> list[tuple[str, str | None]]:
    """The pictures among the files of that folder, in the order of their names, each with the file of its entry."""
    all_names = sorted(names)
    by_lower = {name.lower(): name for name in all_names}
    found = []
    for name in all_names:
        stem, dot, ending = name.rpartition(".")
        if stem and dot + ending.lower() in IMAGE_EXTENSIONS:
            entries = (by_lower.get(f"{stem}{end}".lower()) for end in ENTRY_SUFFIXES)
            found.append((name, next((entry for entry in entries if entry), None)))
    return found


def read(raw: bytes, time_ms: int, local: LocalFile = UNKNOWN_FILE) -> list[SourceMetadata]:
    """What the catalogue said of the model, of all versions, and of the one that ``local`` is, by its name.

    Raises:
        SidecarError: it cannot be read at all.
    """
    facts = parse_metadata(load_sidecar(raw), local)
    return [] if facts.is_empty else [SourceMetadata(Source.CIVITDL, SourcePriority.CIVITAI, facts, time_ms)]


def read_image(raw: bytes, file: str) -> ImageMetadata | None:
    """What the file of a picture's entry says of the picture ``file``; None if it says that it is none.

    Raises:
        SidecarError: it cannot be read at all.
    """
    return parse_image(load_sidecar(raw), file)


def write(facts: Metadata, local: LocalFile = UNKNOWN_FILE) -> bytes:
    """A ``model_dict`` file."""
    return encode_sidecar(build_model(facts, local))
