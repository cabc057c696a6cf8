"""How the catalogue's answers are read: a model with its versions, or one version with its model in it. Pure.

All forms that the
catalogue has had over the years are read.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any

from schemas.library import content_rating
from schemas.library.formats.hashes import cleaned
from schemas.library.metadata import Facts, SaidFile, SaidVersion
from schemas.library.sidecars.civitai_images import images_of, level_of
from schemas.library.sidecars.json_values import identity, line, moment, number, part, parts, said, text, url, words
from schemas.library.sidecars.local_file import LocalFile

MOST_VERSIONS = 1000
MOST_FILES = 100
STATS = (
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


def facts_of(found: Mapping[str, Any], local: LocalFile) -> Facts:
    """What an answer of either shape says; of a model with several versions, of the one that ``local`` is."""
    if isinstance(found.get("modelVersions"), list):
        return _model_facts(found, local)
    model = {name: found.get(name) for name in BESIDE_MODEL} | dict(part(found.get("model")))
    images = tuple(images_of(found.get("images")))
    own = _of_model(model)
    mask = level_of(model) or level_of(found) or _together(image.nsfw_level for image in images)
    own |= said(civitai_id=identity(found.get("modelId")), nsfw_level=mask or _marked(model))
    return Facts(**own, **_of_version(found, local), **said(images=images))


def stats_of(found: Any) -> dict[str, Any]:
    """The counts and rates that are numbers, under the catalogue's names."""
    values = {name: part(found).get(name) for name in STATS}
    return {name: value for name, value in values.items() if _counts(value)}


def _model_facts(found: Mapping[str, Any], local: LocalFile) -> Facts:
    listed = list(parts(found.get("modelVersions"), MOST_VERSIONS))
    ours = _chosen(listed, local)
    versions = tuple(version for version in map(_version, listed) if version)
    own = _of_model(found)
    mask = level_of(found) or _together(map(_version_level, listed)) or _marked(found)
    own |= said(civitai_id=identity(found.get("id")), nsfw_level=mask, stats=stats_of(found.get("stats")))
    if ours:
        own |= _of_version(ours, local) | said(images=tuple(images_of(ours.get("images"))))
    return Facts(**own, versions=versions)


def _of_model(found: Mapping[str, Any]) -> dict[str, Any]:
    creator = part(found.get("creator"))
    return said(
        name=line(found.get("name")),
        type=line(found.get("type")),
        description=text(found.get("description")),
        tags=words(found.get("tags")),
        creator=line(creator.get("username")),
        creator_avatar=url(creator.get("image")),
        licensing=_licensing(found),
    )


def _of_version(found: Mapping[str, Any], local: LocalFile) -> dict[str, Any]:
    files = list(parts(found.get("files"), MOST_FILES))
    ours = _file(files, local)
    return said(
        version_name=line(found.get("name")),
        base_model=line(found.get("baseModel")),
        version_description=text(found.get("description")),
        version_stats=stats_of(found.get("stats")),
        published_at=moment(found.get("publishedAt")) or moment(found.get("createdAt")),
        trained_words=words(found.get("trainedWords")),
        civitai_version_id=identity(found.get("id")),
        hashes=cleaned(part(ours.get("hashes"))) if ours else None,
    )


def _version(found: Mapping[str, Any]) -> SaidVersion | None:
    number_of_it = identity(found.get("id"))
    if number_of_it is None:
        return None
    files = tuple(_said_file(one) for one in parts(found.get("files"), MOST_FILES) if line(one.get("name")))
    return SaidVersion(
        id=number_of_it,
        name=line(found.get("name")) or "",
        base_model=line(found.get("baseModel")),
        description=text(found.get("description")),
        published_at=moment(found.get("publishedAt")) or moment(found.get("createdAt")),
        trained_words=words(found.get("trainedWords")),
        stats=stats_of(found.get("stats")),
        files=files,
        nsfw_level=_version_level(found),
    )


def _said_file(found: Mapping[str, Any]) -> SaidFile:
    about = part(found.get("metadata"))
    return SaidFile(
        name=line(found.get("name")) or "",
        size_kb=_size_kb(found),
        format=line(about.get("format")),
        precision=line(about.get("fp")),
        hashes=cleaned(part(found.get("hashes"))),
    )


def _chosen(listed: Sequence[Mapping[str, Any]], local: LocalFile) -> Mapping[str, Any] | None:
    """The version that our file is: by its id, by what its files are like, or because there is no other."""
    by_id = [one for one in listed if identity(one.get("id")) == (local.published_version or 0)]
    if by_id or len(listed) == 1:
        return (by_id or listed)[0]
    likeness = [max((_alike(file, local) for file in parts(one.get("files"), MOST_FILES)), default=0) for one in listed]
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
    claimed = cleaned(part(file.get("hashes")))
    size_kb = _size_kb(file)
    points = (
        8 if any(claimed.get(name) == digits for name, digits in cleaned(local.hashes).items()) else 0,
        2 if size_kb is not None and local.size_bytes and abs(size_kb * 1024 - local.size_bytes) < 1 else 0,
        1 if local.name and line(file.get("name")) in (local.name, local.published_as) else 0,
    )
    return sum(points)


def _licensing(found: Mapping[str, Any]) -> dict[str, Any]:
    allowed: dict[str, Any] = {name: found[name] for name in PERMISSIONS if isinstance(found.get(name), bool)}
    commercial = found.get(COMMERCIAL)
    if isinstance(commercial, str):
        commercial = commercial.strip().strip("{}").split(",")
    if isinstance(commercial, list):
        uses = (use.strip("\" '") if isinstance(use, str) else None for use in commercial[:20])
        allowed[COMMERCIAL] = [use for use in dict.fromkeys(map(line, uses)) if use and use != "None"]
    return allowed


def _version_level(found: Mapping[str, Any]) -> int:
    return level_of(found) or _together(image.nsfw_level for image in images_of(found.get("images")))


def _together(levels: Iterator[int]) -> int:
    return reduce(or_, levels, 0)


def _marked(model: Mapping[str, Any]) -> int | None:
    """The level of a model of which nothing is said but that it is not for everybody."""
    return int(content_rating.Level.X) if model.get("nsfw") is True else None


def _size_kb(file: Mapping[str, Any]) -> float | None:
    found = number(file.get("sizeKB"))
    return found if found is not None and found >= 0 else None


def _counts(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53
