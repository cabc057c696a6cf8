"""The files of bundled pages: where they lie, which file a URL's path means, and of which type it is."""

import mimetypes
from pathlib import Path
from urllib.parse import unquote

from ops.infra.settings import SHIPPED_RECIPES
from schemas.sites.recipe import Recipe

# Fixed here because the table of the operating system differs from machine to machine.
MEDIA_TYPES = {
    ".js": "text/javascript",
    ".webp": "image/webp",
    ".css": "text/css",
    ".html": "text/html",
    ".svg": "image/svg+xml",
}


def get_bundle_folder(recipe: Recipe) -> Path | None:
    """Where the static files of a bundled page lie; None for a page that is reached over the network."""
    return SHIPPED_RECIPES / recipe.bundle if recipe.bundle else None


def resolve_file(folder: Path, path: str) -> Path | None:
    """The file that a URL's path means, if it lies in the folder."""
    name = unquote(path.partition("?")[0].partition("#")[0]) or "index.html"
    if "\0" in name:
        return None
    try:
        file = (folder / name).resolve()
        return file if file.is_relative_to(folder.resolve()) and file.is_file() else None
    except OSError:
        # Longer than any file's name may be.
        return None


def guess_content_type(file: Path) -> str:
    """The media type of a static file."""
    return MEDIA_TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
