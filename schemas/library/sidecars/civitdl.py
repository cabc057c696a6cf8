"""The layout of the downloader civitdl: its names, its folder beside the model, and the files in it. Pure.

Beside ``<name>-mid_<model>-vid_<version>.safetensors``
lies the folder ``extra_data-vid_<version>`` with ``model_dict-mid_<model>-vid_<version>.json``, the catalogue's
whole answer about the model, and pictures, each with a JSON file of its own.
"""

from collections.abc import Iterable

from schemas.library.metadata import Claim, Facts, Rank, SaidImage, Source
from schemas.library.sidecars.civitai_images import image_of
from schemas.library.sidecars.civitai_reader import MODEL_FIELDS, VERSION_FIELDS, facts_of
from schemas.library.sidecars.civitai_writer import dump, model_answer
from schemas.library.sidecars.json_values import load
from schemas.library.sidecars.local_file import CIVITDL_STEM, UNKNOWN, LocalFile

FIELDS = VERSION_FIELDS | MODEL_FIELDS
FOLDER_PREFIX = "extra_data-"
PICTURES = (".jpeg", ".jpg", ".png", ".webp", ".gif")
# What the file with a picture's entry is called after the picture's name: now, and in older versions.
ENTRIES = (".json", "-prompt.json", ".image.json")


def civitdl_ids(stem: str) -> tuple[int, int] | None:
    """The catalogue's ids of model and version in a file's name without its ending; None if it has none."""
    found = CIVITDL_STEM.fullmatch(stem)
    return (int(found[2]), int(found[3])) if found else None


def folder_of(version_id: int) -> str:
    """The name of the folder beside the model."""
    return f"{FOLDER_PREFIX}vid_{version_id}"


def model_dict_of(model_id: int, version_id: int) -> str:
    """The name of the file in it that holds the catalogue's answer."""
    return f"model_dict-mid_{model_id}-vid_{version_id}.json"


def pictures_of(names: Iterable[str]) -> list[tuple[str, str | None]]:
    """The pictures among the files of that folder, in the order of their names, each with the file of its entry."""
    all_names = sorted(names)
    by_lower = {name.lower(): name for name in all_names}
    found = []
    for name in all_names:
        stem, dot, ending = name.rpartition(".")
        if stem and dot + ending.lower() in PICTURES:
            entries = (by_lower.get(f"{stem}{end}".lower()) for end in ENTRIES)
            found.append((name, next((entry for entry in entries if entry), None)))
    return found


def read(raw: bytes, time_ms: int, local: LocalFile = UNKNOWN) -> list[Claim]:
    """What the catalogue said of the model, of all versions, and of the one that ``local`` is, by its name.

    Raises:
        SidecarError: it cannot be read at all.
    """
    facts = facts_of(load(raw), local)
    return [] if facts.empty else [Claim(Source.CIVITDL, Rank.CATALOGUE, facts, time_ms)]


def read_image(raw: bytes, file: str) -> SaidImage | None:
    """What the file of a picture's entry says of the picture ``file``; None if it says that it is none.

    Raises:
        SidecarError: it cannot be read at all.
    """
    return image_of(load(raw), file)


def write(facts: Facts, local: LocalFile = UNKNOWN) -> bytes:
    """A ``model_dict`` file."""
    return dump(model_answer(facts, local))
