"""Style sheets and scripts of the console.

Their URL contains a digest of all of them, so browsers cache them without limit, and imports between modules stay
relative.
"""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from api.pages.design import DESIGN_DIR

STATIC_DIR = Path(__file__).parent / "static"
FOLDERS = {"": STATIC_DIR, "design/": DESIGN_DIR}
PREFIX = "/console/assets"
MAX_AGE_S = 365 * 24 * 3600
DIGEST_LENGTH = 12
# Below this compression saves less than a packet.
MIN_COMPRESSED_BYTES = 1024

blueprint = Blueprint("console_assets", __name__)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file: its media type, its bytes, and the same bytes compressed, or None if that saves nothing."""

    media_type: str
    content: bytes
    compressed: bytes | None


@cache
def load_assets() -> tuple[str, dict[str, Asset]]:
    """Return the digest of all files, and the files by name; read once per process."""
    digest, assets = hashlib.sha256(), {}
    for prefix, folder in FOLDERS.items():
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name, content = f"{prefix}{path.relative_to(folder).as_posix()}", path.read_bytes()
            digest.update(name.encode() + b"\0" + content)
            compressed = gzip.compress(content, mtime=0) if len(content) >= MIN_COMPRESSED_BYTES else content
            media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
            assets[name] = Asset(media_type, content, compressed if len(compressed) < len(content) else None)
    return digest.hexdigest()[:DIGEST_LENGTH], assets


def asset_url(name: str) -> str:
    """Return the address of a file; raises KeyError if there is none."""
    digest, assets = load_assets()
    assets[name]
    return f"{PREFIX}/{digest}/{name}"


@blueprint.route(f"{PREFIX}/<digest>/<path:name>")
def file(digest: str, name: str) -> Response:
    """Send a file; under the digest of an earlier version, the present file, which must not be kept."""
    current, assets = load_assets()
    asset = assets.get(name)
    if asset is None:
        raise NotFound
    is_compressed = asset.compressed is not None and request.accept_encodings["gzip"] > 0
    response = Response(asset.compressed if is_compressed else asset.content, mimetype=asset.media_type)
    if is_compressed:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    is_current = digest == current
    response.headers["Cache-Control"] = f"public, max-age={MAX_AGE_S}, immutable" if is_current else "no-cache"
    return response
