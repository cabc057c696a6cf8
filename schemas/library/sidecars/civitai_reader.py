"""Reads Civitai's responses: a model with its versions, or a version with its model.

All forms that the API has had over the years are accepted.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any

from schemas.library import content_rating
from schemas.library.formats.hashes import normalize_hashes
from schemas.library.metadata import CivitaiFile, CivitaiVersion, Metadata
from schemas.library.sidecars.civitai_images import parse_images, parse_level
from schemas.library.sidecars.json_values import (
    as_id,
    as_line,
    as_number,
    as_object,
    as_objects,
    as_text,
    as_url,
    as_utc_time,
    as_word_list,
    drop_empty,
)
from schemas.library.sidecars.local_file import LocalFile

MAX_VERSIONS = 1000
MAX_FILES = 100
MAX_COMMERCIAL_USES = 20
STAT_NAMES = (
    "downloadCount",
    "thumbsUpCount",
    "thumbsDownCount",
    "commentCount",
    "tippedAmountCount",
    "favoriteCount",
    "ratingCount",
    "rating",
)
PERMISSIONS = ("allowNoCredit", "allowDerivatives", "allowDifferentLicense")
COMMERCIAL_USE = "allowCommercialUse"
# Types of files that are not the model itself.
NON_MODEL_TYPES = ("Training Data", "Config", "Archive", "Negative", "VAE", "Text Encoder")
# In responses about a version, these keys of the model are next to it.
KEYS_BESIDE_MODEL = ("creator", "tags")
# The fields that formats in Civitai's shape support, of a version and of its model.
VERSION_FIELDS = frozenset(
    {
        "version_name",
        "base_model",
        "version_description",
        "version_stats",
        "published_at",
        "trained_words",
        "civitai_version_id",
        "hashes",
        "images",
    }
)
MODEL_FIELDS = frozenset(
    {
        "name",
        "type",
        "description",
        "tags",
        "creator",
        "creator_avatar",
        "nsfw_level",
        "stats",
        "licensing",
        "civitai_id",
        "versions",
    }
)


def parse_metadata(document: Mapping[str, Any], local: LocalFile) -> Metadata:
    """Parse a response of either shape; of a model with several versions, take the one that ``local`` belongs to."""
    if isinstance(document.get("modelVersions"), list):
        return _parse_model_response(document, local)
    model = {key: document.get(key) for key in KEYS_BESIDE_MODEL} | dict(as_object(document.get("model")))
    images = tuple(parse_images(document.get("images")))
    mask = parse_level(model) or parse_level(document) or _combine_levels(image.nsfw_level for image in images)
    values = _model_values(model)
    values |= drop_empty(civitai_id=as_id(document.get("modelId")), nsfw_level=mask or _level_from_flag(model))
    return Metadata(**values, **_version_values(document, local), **drop_empty(images=images))


def parse_stats(stats: Any) -> dict[str, Any]:
    """Return the valid counts and ratings, under Civitai's names."""
    values = {name: as_object(stats).get(name) for name in STAT_NAMES}
    return {name: value for name, value in values.items() if _is_stat(value)}


def _parse_model_response(document: Mapping[str, Any], local: LocalFile) -> Metadata:
    entries = list(as_objects(document.get("modelVersions"), MAX_VERSIONS))
    versions = tuple(version for version in map(_parse_version, entries) if version)
    mask = parse_level(document) or _combine_levels(map(_version_level, entries)) or _level_from_flag(document)
    values = _model_values(document)
    values |= drop_empty(
        civitai_id=as_id(document.get("id")), nsfw_level=mask, stats=parse_stats(document.get("stats"))
    )
    entry = _find_local_version(entries, local)
    if entry:
        values |= _version_values(entry, local) | drop_empty(images=tuple(parse_images(entry.get("images"))))
    return Metadata(**values, versions=versions)


def _model_values(model: Mapping[str, Any]) -> dict[str, Any]:
    creator = as_object(model.get("creator"))
    return drop_empty(
        name=as_line(model.get("name")),
        type=as_line(model.get("type")),
        description=as_text(model.get("description")),
        tags=as_word_list(model.get("tags")),
        creator=as_line(creator.get("username")),
        creator_avatar=as_url(creator.get("image")),
        licensing=_parse_licensing(model),
    )


def _version_values(version: Mapping[str, Any], local: LocalFile) -> dict[str, Any]:
    file = _find_local_file(list(as_objects(version.get("files"), MAX_FILES)), local)
    return drop_empty(
        version_name=as_line(version.get("name")),
        base_model=as_line(version.get("baseModel")),
        version_description=as_text(version.get("description")),
        version_stats=parse_stats(version.get("stats")),
        published_at=_published_at(version),
        trained_words=as_word_list(version.get("trainedWords")),
        civitai_version_id=as_id(version.get("id")),
        hashes=normalize_hashes(as_object(file.get("hashes"))) if file else None,
    )


def _parse_version(version: Mapping[str, Any]) -> CivitaiVersion | None:
    version_id = as_id(version.get("id"))
    if version_id is None:
        return None
    files = as_objects(version.get("files"), MAX_FILES)
    return CivitaiVersion(
        id=version_id,
        name=as_line(version.get("name")) or "",
        base_model=as_line(version.get("baseModel")),
        description=as_text(version.get("description")),
        published_at=_published_at(version),
        trained_words=as_word_list(version.get("trainedWords")),
        stats=parse_stats(version.get("stats")),
        files=tuple(_parse_file(file) for file in files if as_line(file.get("name"))),
        nsfw_level=_version_level(version),
    )


def _published_at(version: Mapping[str, Any]) -> str | None:
    return as_utc_time(version.get("publishedAt")) or as_utc_time(version.get("createdAt"))


def _parse_file(file: Mapping[str, Any]) -> CivitaiFile:
    details = as_object(file.get("metadata"))
    return CivitaiFile(
        name=as_line(file.get("name")) or "",
        size_kb=_size_kb(file),
        format=as_line(details.get("format")),
        precision=as_line(details.get("fp")),
        hashes=normalize_hashes(as_object(file.get("hashes"))),
    )


def _find_local_version(versions: Sequence[Mapping[str, Any]], local: LocalFile) -> Mapping[str, Any] | None:
    """Return the version of the local file: by id, as the only one, or by the likeness of its files."""
    by_id = [version for version in versions if as_id(version.get("id")) == (local.civitai_version_id or 0)]
    if by_id or len(versions) == 1:
        return (by_id or versions)[0]

    def best_likeness(version: Mapping[str, Any]) -> int:
        files = as_objects(version.get("files"), MAX_FILES)
        return max((_likeness(file, local) for file in files), default=0)

    return _unique_best(versions, best_likeness)


def _find_local_file(files: Sequence[Mapping[str, Any]], local: LocalFile) -> Mapping[str, Any] | None:
    """Return the local file among those of a version; None if several could be it, as a wrong hash would do harm."""
    models = [file for file in files if file.get("type") not in NON_MODEL_TYPES] or files
    if len(models) == 1:
        return models[0]
    return _unique_best(models, lambda file: _likeness(file, local))


def _unique_best(
    entries: Sequence[Mapping[str, Any]], likeness: Callable[[Mapping[str, Any]], int]
) -> Mapping[str, Any] | None:
    """Return the entry with the greatest likeness; None if that is 0 or several have it."""
    values = [likeness(entry) for entry in entries]
    best = max(values, default=0)
    return entries[values.index(best)] if best and values.count(best) == 1 else None


def _likeness(file: Mapping[str, Any], local: LocalFile) -> int:
    """Rate how likely a listed file is the local one: a common hash proves it, size and name are hints."""
    claimed = normalize_hashes(as_object(file.get("hashes")))
    size_kb = _size_kb(file)
    same_hash = any(claimed.get(name) == digits for name, digits in normalize_hashes(local.hashes).items())
    same_size = size_kb is not None and local.size_bytes > 0 and abs(size_kb * 1024 - local.size_bytes) < 1
    same_name = bool(local.name) and as_line(file.get("name")) in (local.name, local.civitai_name)
    return 8 * same_hash + 2 * same_size + same_name


def _parse_licensing(model: Mapping[str, Any]) -> dict[str, Any]:
    licensing: dict[str, Any] = {name: model[name] for name in PERMISSIONS if isinstance(model.get(name), bool)}
    uses = model.get(COMMERCIAL_USE)
    if isinstance(uses, str):
        # A single use, or PostgreSQL's array syntax: {Image,"Rent"}.
        uses = uses.strip().strip("{}").split(",")
    if isinstance(uses, list):
        names = (use.strip("\" '") if isinstance(use, str) else None for use in uses[:MAX_COMMERCIAL_USES])
        licensing[COMMERCIAL_USE] = [name for name in dict.fromkeys(map(as_line, names)) if name and name != "None"]
    return licensing


def _version_level(version: Mapping[str, Any]) -> int:
    return parse_level(version) or _combine_levels(image.nsfw_level for image in parse_images(version.get("images")))


def _combine_levels(levels: Iterable[int]) -> int:
    return reduce(or_, levels, 0)


def _level_from_flag(model: Mapping[str, Any]) -> int | None:
    """Return the level of a model that is only flagged as NSFW."""
    return int(content_rating.NsfwLevel.X) if model.get("nsfw") is True else None


def _size_kb(file: Mapping[str, Any]) -> float | None:
    size_kb = as_number(file.get("sizeKB"))
    return size_kb if size_kb is not None and size_kb >= 0 else None


def _is_stat(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53
