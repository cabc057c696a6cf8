"""How the catalogue's answers are read: a model with its versions, or one version with its model in it. Pure.

All forms that the
catalogue has had over the years are read.
"""

from collections.abc import Iterator, Mapping, Sequence
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
    as_words,
    drop_empty,
)
from schemas.library.sidecars.local_file import LocalFile

MAX_VERSIONS = 1000
MAX_FILES = 100
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
COMMERCIAL = "allowCommercialUse"
# Types of files that are no model themselves.
NO_MODELS = ("Training Data", "Config", "Archive", "Negative", "VAE", "Text Encoder")
# What of a model stands beside it where it is told of within a version.
BESIDE_MODEL = ("creator", "tags")
# What catalogue-shaped formats can say of a version, and of its model.
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


def parse_metadata(found: Mapping[str, Any], local: LocalFile) -> Metadata:
    """What an answer of either shape says; of a model with several versions, of the one that ``local`` is."""
    if isinstance(found.get("modelVersions"), list):
        return _model_facts(found, local)
    model = {name: found.get(name) for name in BESIDE_MODEL} | dict(as_object(found.get("model")))
    images = tuple(parse_images(found.get("images")))
    own = _of_model(model)
    mask = parse_level(model) or parse_level(found) or _together(image.nsfw_level for image in images)
    own |= drop_empty(civitai_id=as_id(found.get("modelId")), nsfw_level=mask or _marked(model))
    return Metadata(**own, **_of_version(found, local), **drop_empty(images=images))


def parse_stats(found: Any) -> dict[str, Any]:
    """The counts and rates that are numbers, under the catalogue's names."""
    values = {name: as_object(found).get(name) for name in STAT_NAMES}
    return {name: value for name, value in values.items() if _counts(value)}


def _model_facts(found: Mapping[str, Any], local: LocalFile) -> Metadata:
    listed = list(as_objects(found.get("modelVersions"), MAX_VERSIONS))
    ours = _chosen(listed, local)
    versions = tuple(version for version in map(_version, listed) if version)
    own = _of_model(found)
    mask = parse_level(found) or _together(map(_version_level, listed)) or _marked(found)
    own |= drop_empty(civitai_id=as_id(found.get("id")), nsfw_level=mask, stats=parse_stats(found.get("stats")))
    if ours:
        own |= _of_version(ours, local) | drop_empty(images=tuple(parse_images(ours.get("images"))))
    return Metadata(**own, versions=versions)


def _of_model(found: Mapping[str, Any]) -> dict[str, Any]:
    creator = as_object(found.get("creator"))
    return drop_empty(
        name=as_line(found.get("name")),
        type=as_line(found.get("type")),
        description=as_text(found.get("description")),
        tags=as_words(found.get("tags")),
        creator=as_line(creator.get("username")),
        creator_avatar=as_url(creator.get("image")),
        licensing=_licensing(found),
    )


def _of_version(found: Mapping[str, Any], local: LocalFile) -> dict[str, Any]:
    files = list(as_objects(found.get("files"), MAX_FILES))
    ours = _file(files, local)
    return drop_empty(
        version_name=as_line(found.get("name")),
        base_model=as_line(found.get("baseModel")),
        version_description=as_text(found.get("description")),
        version_stats=parse_stats(found.get("stats")),
        published_at=as_utc_time(found.get("publishedAt")) or as_utc_time(found.get("createdAt")),
        trained_words=as_words(found.get("trainedWords")),
        civitai_version_id=as_id(found.get("id")),
        hashes=normalize_hashes(as_object(ours.get("hashes"))) if ours else None,
    )


def _version(found: Mapping[str, Any]) -> CivitaiVersion | None:
    number_of_it = as_id(found.get("id"))
    if number_of_it is None:
        return None
    files = tuple(_said_file(one) for one in as_objects(found.get("files"), MAX_FILES) if as_line(one.get("name")))
    return CivitaiVersion(
        id=number_of_it,
        name=as_line(found.get("name")) or "",
        base_model=as_line(found.get("baseModel")),
        description=as_text(found.get("description")),
        published_at=as_utc_time(found.get("publishedAt")) or as_utc_time(found.get("createdAt")),
        trained_words=as_words(found.get("trainedWords")),
        stats=parse_stats(found.get("stats")),
        files=files,
        nsfw_level=_version_level(found),
    )


def _said_file(found: Mapping[str, Any]) -> CivitaiFile:
    about = as_object(found.get("metadata"))
    return CivitaiFile(
        name=as_line(found.get("name")) or "",
        size_kb=_size_kb(found),
        format=as_line(about.get("format")),
        precision=as_line(about.get("fp")),
        hashes=normalize_hashes(as_object(found.get("hashes"))),
    )


def _chosen(listed: Sequence[Mapping[str, Any]], local: LocalFile) -> Mapping[str, Any] | None:
    """The version that our file is: by its id, by what its files are like, or because there is no other."""
    by_id = [one for one in listed if as_id(one.get("id")) == (local.civitai_version_id or 0)]
    if by_id or len(listed) == 1:
        return (by_id or listed)[0]
    likeness = [
        max((_alike(file, local) for file in as_objects(one.get("files"), MAX_FILES)), default=0) for one in listed
    ]
    best = max(likeness, default=0)
    return listed[likeness.index(best)] if best and likeness.count(best) == 1 else None


def _file(files: Sequence[Mapping[str, Any]], local: LocalFile) -> Mapping[str, Any] | None:
    """The file of a version that ours is; None where it could be several: a wrong hash is worse than none."""
    models = [one for one in files if one.get("type") not in NO_MODELS] or files
    if len(models) == 1:
        return models[0]
    likeness = [_alike(one, local) for one in models]
    best = max(likeness, default=0)
    return models[likeness.index(best)] if best and likeness.count(best) == 1 else None


def _alike(file: Mapping[str, Any], local: LocalFile) -> int:
    """How sure it is that a catalogue's file is ours: hashes say it, size and name make it likely."""
    claimed = normalize_hashes(as_object(file.get("hashes")))
    size_kb = _size_kb(file)
    points = (
        8 if any(claimed.get(name) == digits for name, digits in normalize_hashes(local.hashes).items()) else 0,
        2 if size_kb is not None and local.size_bytes and abs(size_kb * 1024 - local.size_bytes) < 1 else 0,
        1 if local.name and as_line(file.get("name")) in (local.name, local.civitai_name) else 0,
    )
    return sum(points)


def _licensing(found: Mapping[str, Any]) -> dict[str, Any]:
    allowed: dict[str, Any] = {name: found[name] for name in PERMISSIONS if isinstance(found.get(name), bool)}
    commercial = found.get(COMMERCIAL)
    if isinstance(commercial, str):
        commercial = commercial.strip().strip("{}").split(",")
    if isinstance(commercial, list):
        uses = (use.strip("\" '") if isinstance(use, str) else None for use in commercial[:20])
        allowed[COMMERCIAL] = [use for use in dict.fromkeys(map(as_line, uses)) if use and use != "None"]
    return allowed


def _version_level(found: Mapping[str, Any]) -> int:
    return parse_level(found) or _together(image.nsfw_level for image in parse_images(found.get("images")))


def _together(levels: Iterator[int]) -> int:
    return reduce(or_, levels, 0)


def _marked(model: Mapping[str, Any]) -> int | None:
    """The level of a model of which nothing is said but that it is not for everybody."""
    return int(content_rating.NsfwLevel.X) if model.get("nsfw") is True else None


def _size_kb(file: Mapping[str, Any]) -> float | None:
    found = as_number(file.get("sizeKB"))
    return found if found is not None and found >= 0 else None


def _counts(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53
