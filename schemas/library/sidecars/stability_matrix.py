"""``<stem>.cm-info.json`` of Stability Matrix: a version of a model, in words of its own. Pure.

It knows one bit of what is not for everybody, and no pictures but one address.
"""

from typing import Any

from schemas.library import content_rating
from schemas.library.formats.hashes import BLAKE3, CRC32, SHA256, normalize_hashes
from schemas.library.metadata import Metadata, Source, SourceMetadata, SourcePriority
from schemas.library.sidecars.civitai_reader import parse_stats
from schemas.library.sidecars.civitai_writer import encode_sidecar, merge_hashes
from schemas.library.sidecars.json_values import as_id, as_line, as_object, as_text, as_words, drop_empty, load_sidecar
from schemas.library.sidecars.local_file import UNKNOWN_FILE, LocalFile

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


def read(raw: bytes, time_ms: int, _local: LocalFile = UNKNOWN_FILE) -> list[SourceMetadata]:
    """What the catalogue said, and apart from it the title that a person gave.

    Raises:
        SidecarError: it cannot be read at all.
    """
    document = {name.lower(): value for name, value in load_sidecar(raw).items()}
    claims = [
        SourceMetadata(Source.STABILITY_MATRIX, SourcePriority.CIVITAI, _catalogue(document), time_ms),
        SourceMetadata(
            Source.STABILITY_MATRIX, SourcePriority.PERSON, Metadata(name=as_line(document.get("usertitle"))), time_ms
        ),
    ]
    return [claim for claim in claims if not claim.metadata.is_empty]


def write(facts: Metadata, local: LocalFile = UNKNOWN_FILE) -> bytes:
    """A file that ``read`` and Stability Matrix read."""
    hashes = merge_hashes(facts, local)
    adult = (
        facts.nsfw_level is not None and content_rating.highest_level(facts.nsfw_level) >= content_rating.NsfwLevel.R
    )
    document = {
        "ModelName": facts.name or "",
        "ModelDescription": facts.description or "",
        "Nsfw": adult,
        "Tags": list(facts.tags),
        "VersionName": facts.version_name or "",
        "Hashes": {name: hashes[name].upper() for name in HASHES if name in hashes},
        "TrainedWords": list(facts.trained_words),
    }
    more = drop_empty(
        ModelId=facts.civitai_id,
        ModelType=facts.type,
        VersionId=facts.civitai_version_id,
        VersionDescription=facts.version_description,
        AuthorUsername=facts.creator,
        BaseModel=facts.base_model,
        RemoteFileName=local.civitai_name,
        Stats=dict(facts.stats),
        ThumbnailImageUrl=next((image.url for image in facts.images if image.url), None),
    )
    return encode_sidecar(document | more)


def _catalogue(document: dict[str, Any]) -> Metadata:
    stats = {name[:1].lower() + name[1:]: value for name, value in as_object(document.get("stats")).items()}
    found = drop_empty(
        name=as_line(document.get("modelname")),
        type=as_line(document.get("modeltype")),
        description=as_text(document.get("modeldescription")),
        tags=as_words(document.get("tags")),
        creator=as_line(document.get("authorusername")),
        nsfw_level=int(content_rating.NsfwLevel.X) if document.get("nsfw") is True else None,
        stats=parse_stats(stats),
        civitai_id=as_id(document.get("modelid")),
        version_name=as_line(document.get("versionname")),
        version_description=as_text(document.get("versiondescription")),
        base_model=as_line(document.get("basemodel")),
        trained_words=as_words(document.get("trainedwords")),
        civitai_version_id=as_id(document.get("versionid")),
        hashes=normalize_hashes(as_object(document.get("hashes"))),
    )
    return Metadata(**found)
