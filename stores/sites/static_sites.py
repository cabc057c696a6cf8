"""Static files of bundled pages: their folder, and the file and media type of a URL path."""

import mimetypes
from pathlib import Path
from urllib.parse import unquote

from ops.infra.settings import SHIPPED_RECIPES
from schemas.sites.recipe import Recipe

# The operating system's table differs between machines.
MEDIA_TYPES = {
    ".js": "text/javascript",
    ".webp": "image/webp",
    ".css": "text/css",
    ".html": "text/html",
    ".svg": "image/svg+xml",
}


def get_bundle_folder(recipe: Recipe) -> Path | None:
    """Return the folder of a bundled page's files; None for a page on the network."""
    return SHIPPED_RECIPES / recipe.bundle if recipe.bundle else None


def resolve_file(folder: Path, path: str) -> Path | None:
    """Return the file of a URL path if it is inside the folder."""
    name = unquote(path.partition("?")[0].partition("#")[0]) or "index.html"
    if "\0" in name:
        return None
    try:
        file = (folder / name).resolve()
        return file if file.is_relative_to(folder.resolve()) and file.is_file() else None
    except OSError:
        # The name is longer than the file system allows.
        return None


def guess_content_type(file: Path) -> str:
    """Return the media type of a static file."""
    return MEDIA_TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
