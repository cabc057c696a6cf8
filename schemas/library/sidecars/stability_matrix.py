"""``<stem>.cm-info.json`` of Stability Matrix: a version of a model, in the program's own terms.

It has one NSFW flag instead of levels, and of images a single URL.
"""

from typing import Any

from schemas.library import content_rating
from schemas.library.formats.hashes import BLAKE3, CRC32, SHA256, normalize_hashes
from schemas.library.metadata import Metadata, Source, SourceMetadata, SourcePriority
from schemas.library.sidecars.civitai_reader import parse_stats
from schemas.library.sidecars.civitai_writer import encode_sidecar, merge_hashes
from schemas.library.sidecars.json_values import (
    as_id,
    as_line,
    as_object,
    as_text,
    as_word_list,
    drop_empty,
    load_sidecar,
)
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
    """Read what Civitai said and, separately, the title that a person gave.

    Raises:
        FormatError: the file cannot be read at all.
    """
    # Versions of the program differ in the case of keys.
    document = {key.lower(): value for key, value in load_sidecar(raw).items()}
    title = Metadata(name=as_line(document.get("usertitle")))
    sources = [
        SourceMetadata(Source.STABILITY_MATRIX, SourcePriority.CIVITAI, _read_civitai(document), time_ms),
        SourceMetadata(Source.STABILITY_MATRIX, SourcePriority.PERSON, title, time_ms),
    ]
    return [source for source in sources if not source.metadata.is_empty]


def write(metadata: Metadata, local: LocalFile = UNKNOWN_FILE) -> bytes:
    """Write a file that ``read`` and Stability Matrix read."""
    hashes = merge_hashes(metadata, local)
    level = content_rating.highest_level(metadata.nsfw_level or 0)
    document = {
        "ModelName": metadata.name or "",
        "ModelDescription": metadata.description or "",
        "Nsfw": level >= content_rating.NsfwLevel.R,
        "Tags": list(metadata.tags),
        "VersionName": metadata.version_name or "",
        "Hashes": {name: hashes[name].upper() for name in HASHES if name in hashes},
        "TrainedWords": list(metadata.trained_words),
    }
    optional = drop_empty(
        ModelId=metadata.civitai_id,
        ModelType=metadata.type,
        VersionId=metadata.civitai_version_id,
        VersionDescription=metadata.version_description,
        AuthorUsername=metadata.creator,
        BaseModel=metadata.base_model,
        RemoteFileName=local.civitai_name,
        Stats=dict(metadata.stats),
        ThumbnailImageUrl=next((image.url for image in metadata.images if image.url), None),
    )
    return encode_sidecar(document | optional)


def _read_civitai(document: dict[str, Any]) -> Metadata:
    stats = {key[:1].lower() + key[1:]: value for key, value in as_object(document.get("stats")).items()}
    values = drop_empty(
        name=as_line(document.get("modelname")),
        type=as_line(document.get("modeltype")),
        description=as_text(document.get("modeldescription")),
        tags=as_word_list(document.get("tags")),
        creator=as_line(document.get("authorusername")),
        nsfw_level=int(content_rating.NsfwLevel.X) if document.get("nsfw") is True else None,
        stats=parse_stats(stats),
        civitai_id=as_id(document.get("modelid")),
        version_name=as_line(document.get("versionname")),
        version_description=as_text(document.get("versiondescription")),
        base_model=as_line(document.get("basemodel")),
        trained_words=as_word_list(document.get("trainedwords")),
        civitai_version_id=as_id(document.get("versionid")),
        hashes=normalize_hashes(as_object(document.get("hashes"))),
    )
    return Metadata(**values)
