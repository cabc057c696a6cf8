"""``<stem>.cm-info.json`` of Stability Matrix: a version of a model, in words of its own. Pure.

It knows one bit of what is not for everybody, and no pictures but one address.
"""

from typing import Any

from schemas.library import content_rating
from schemas.library.formats.hashes import BLAKE3, CRC32, SHA256, cleaned
from schemas.library.metadata import Claim, Facts, Rank, Source
from schemas.library.sidecars.civitai_reader import stats_of
from schemas.library.sidecars.civitai_writer import dump, hashes_of
from schemas.library.sidecars.json_values import identity, line, load, part, said, text, words
from schemas.library.sidecars.local_file import UNKNOWN, LocalFile

FIELDS = frozenset(
    {
        "name",
        "type",
        "description",
        "tags",
        "creator",
        "stats",
        "civitai_id",
        "version_name",
        "version_description",
        "base_model",
        "trained_words",
        "civitai_version_id",
        "hashes",
    }
)
HASHES = (SHA256, CRC32, BLAKE3)


def read(raw: bytes, time_ms: int, _local: LocalFile = UNKNOWN) -> list[Claim]:
    """What the catalogue said, and apart from it the title that a person gave.

    Raises:
        SidecarError: it cannot be read at all.
    """
    document = {name.lower(): value for name, value in load(raw).items()}
    claims = [
        Claim(Source.STABILITY_MATRIX, Rank.CATALOGUE, _catalogue(document), time_ms),
        Claim(Source.STABILITY_MATRIX, Rank.PERSON, Facts(name=line(document.get("usertitle"))), time_ms),
    ]
    return [claim for claim in claims if not claim.facts.empty]


def write(facts: Facts, local: LocalFile = UNKNOWN) -> bytes:
    """A file that ``read`` and Stability Matrix read."""
    hashes = hashes_of(facts, local)
    adult = facts.nsfw_level is not None and content_rating.highest(facts.nsfw_level) >= content_rating.Level.R
    document = {
        "ModelName": facts.name or "",
        "ModelDescription": facts.description or "",
        "Nsfw": adult,
        "Tags": list(facts.tags),
        "VersionName": facts.version_name or "",
        "Hashes": {name: hashes[name].upper() for name in HASHES if name in hashes},
        "TrainedWords": list(facts.trained_words),
    }
    more = said(
        ModelId=facts.civitai_id,
        ModelType=facts.type,
        VersionId=facts.civitai_version_id,
        VersionDescription=facts.version_description,
        AuthorUsername=facts.creator,
        BaseModel=facts.base_model,
        RemoteFileName=local.published_as,
        Stats=dict(facts.stats),
        ThumbnailImageUrl=next((image.url for image in facts.images if image.url), None),
    )
    return dump(document | more)


def _catalogue(document: dict[str, Any]) -> Facts:
    stats = {name[:1].lower() + name[1:]: value for name, value in part(document.get("stats")).items()}
    found = said(
        name=line(document.get("modelname")),
        type=line(document.get("modeltype")),
        description=text(document.get("modeldescription")),
        tags=words(document.get("tags")),
        creator=line(document.get("authorusername")),
        nsfw_level=int(content_rating.Level.X) if document.get("nsfw") is True else None,
        stats=stats_of(stats),
        civitai_id=identity(document.get("modelid")),
        version_name=line(document.get("versionname")),
        version_description=text(document.get("versiondescription")),
        base_model=line(document.get("basemodel")),
        trained_words=words(document.get("trainedwords")),
        civitai_version_id=identity(document.get("versionid")),
        hashes=cleaned(part(document.get("hashes"))),
    )
    return Facts(**found)
