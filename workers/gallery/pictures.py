"""Keeps pictures for the gallery: examines them, stores them with their derivatives, and names their files."""

import hashlib
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import structlog

from schemas.errors import Invalid, ServiceError
from schemas.gallery.asset_names import icon_name, new_asset_name
from schemas.gallery.assets import Asset
from schemas.gallery.pictures import KeepMode, KeptPicture, object_key
from schemas.gallery.tokens import MediaStatus, TokenMedia
from schemas.images import formats
from stores import Stores
from workers.images.decode import DecodeLimits
from workers.images.derivatives import JOB_LIMITS, LIMITS, Picture, derive_picture
from workers.images.derive import Mode
from workers.images.sandbox import DEFAULT_LIMITS

# Pictures of the library may have been stored before their limit was lowered.
LIMITS_BY_MODE = {KeepMode.EXACT: JOB_LIMITS, KeepMode.CLEAN: LIMITS}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _File:
    """A file of a picture: its name, its type, and where its bytes are."""

    name: str
    type: str
    content: IO[bytes]
    sha256: str
    size_bytes: int


def answer_keep(stores: Stores, key: str, mode: str, poster_key: str) -> None:
    """Keep the picture at ``key``, and tell the caller that waits; does nothing if none waits any more."""
    requests = stores.gallery_media.pictures
    if not requests.is_requested(key):
        return
    try:
        poster = stores.media.get(poster_key) if poster_key else None
        with fetch(stores, key, LIMITS_BY_MODE[KeepMode(mode)]) as file:
            requests.answer(key, keep(stores, file, KeepMode(mode), poster))
    except ServiceError as error:
        log.info("picture.refused", key=key, code=error.code, reason=error.details.get("reason"))
        requests.answer(key, error)


@contextmanager
def fetch(stores: Stores, key: str, limits: DecodeLimits = DEFAULT_LIMITS) -> Iterator[IO[bytes]]:
    """Copy an object to a temporary file.

    Raises:
        NotFound: there is no such object.
        Invalid: it is larger than the limits allow; it is not read then.
        Unavailable: the media store does not answer.
    """
    opened = stores.media.open(key)
    if opened.size_bytes > limits.max_bytes:
        raise Invalid(f"The picture has more than {limits.max_bytes:,} bytes.", reason="too_large")
    with tempfile.TemporaryFile() as file:
        for chunk in opened.chunks:
            file.write(chunk)
        file.flush()
        yield file


def keep(stores: Stores, file: IO[bytes], mode: KeepMode, poster: bytes | None = None) -> KeptPicture:
    """Examine the picture in a file and store its objects; the assets are the caller's to add, within minutes.

    Raises:
        Invalid: it is not acceptable; ``details["reason"]`` is a code for the reason.
        Unavailable: the media store or the database does not answer.
    """
    with derive_picture(file, Mode(mode), LIMITS_BY_MODE[mode], poster) as picture:
        files = _name_files(picture)
        _store(stores, list(files.values()))
        media = TokenMedia(
            status=MediaStatus.READY,
            sha256=picture.sha256,
            type=picture.type,
            width=picture.width,
            height=picture.height,
            frames=picture.frames,
            size_bytes=picture.size_bytes,
            **{part: files[part].name for part in ("asset", "thumb", "preview", "poster") if part in files},
        )
        return KeptPicture(media, tuple(map(_asset, files.values())))


def _name_files(picture: Picture) -> dict[str, _File]:
    """Return the files by their purpose; the icon has the name of the thumbnail, with its own extension."""
    asset = new_asset_name(formats.BY_MEDIA_TYPE[picture.type].extension)
    thumb = new_asset_name("webp")
    files = {
        "asset": _File(asset, picture.type, picture.file, picture.sha256, picture.size_bytes),
        "thumb": _file(thumb, "image/webp", picture.thumb),
        "icon": _file(icon_name(thumb), "image/png", picture.icon),
    }
    if picture.preview:
        files["preview"] = _file(new_asset_name("webp"), "image/webp", picture.preview)
    if picture.poster:
        files["poster"] = _file(new_asset_name("jpg"), "image/jpeg", picture.poster)
    return files


def _file(name: str, media_type: str, data: bytes) -> _File:
    return _File(name, media_type, io.BytesIO(data), hashlib.sha256(data).hexdigest(), len(data))


def _asset(file: _File) -> Asset:
    return Asset(file.name, _key(file), file.type, file.sha256, file.size_bytes)


def _key(file: _File) -> str:
    return object_key(file.sha256, formats.BY_MEDIA_TYPE[file.type].extension)


def _store(stores: Stores, files: list[_File]) -> None:
    """Store the objects that are missing. Referenced objects are not swept, so existing ones stay."""
    stores.gallery.assets.hold([_key(file) for file in files])
    for file in files:
        if not stores.media.exists(_key(file)):
            stores.media.put_file(_key(file), file.content)
