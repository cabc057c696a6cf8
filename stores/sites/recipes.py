"""Loading of recipes: the shipped ones and the user's, which take precedence."""

import contextlib
import re
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import structlog

from ops.infra.files.atomic_write import write_atomically
from ops.infra.settings import SHIPPED_RECIPES, Settings, SettingsError
from schemas.errors import Conflict, Invalid
from schemas.sites.recipe import Recipe, SiteLimits
from schemas.sites.recipe_schema import NAME_PATTERN, load_recipe

REFRESH_INTERVAL_S = 1.0
RECIPE_NAME = re.compile(NAME_PATTERN)
UNLIMITED_SITE = SiteLimits(concurrency=0, min_interval_s=0.0, daily=0)

log = structlog.get_logger(__name__)


class Recipes:
    """The recipes of an installation."""

    def __init__(
        self,
        default: str,
        user_folder: Path | None = None,
        shipped_folder: Path = SHIPPED_RECIPES,
        *,
        urls: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Read every file; those of ``user_folder`` are read again when they change.

        ``urls`` replace the URLs of recipes, by the recipe's name in lower case with underscores (``SITE_NAME_URL``).

        Raises:
            SettingsError: a recipe is invalid, the default site does not exist, or a URL is for an unknown recipe.
        """
        self._user_folder, self._shipped_folder, self._urls = user_folder, shipped_folder, urls
        self._signature, self._checked_at = self._read_signature(), time.monotonic()
        files = self._find_files()
        self._recipes = {name: _with_url(_load(path, shipped_folder), urls) for name, path in files.items()}
        if unknown := sorted(set(urls) - {_variable_part(name) for name in files}):
            raise SettingsError(f"SITE_{unknown[0].upper()}_URL: there is no recipe of that name.")
        if default not in self._recipes:
            raise SettingsError(f"SITE: there is no recipe {default!r}; there are: {', '.join(self._recipes)}.")
        self._default = default

    @property
    def default(self) -> Recipe:
        """The recipe of jobs that name no site."""
        return self._recipes[self._default]

    @property
    def user_folder(self) -> Path | None:
        """The folder of the user's own recipes."""
        return self._user_folder

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the recipes that the settings name; raises SettingsError as the constructor, and for SITE_URL."""
        if settings.site_url:
            raise SettingsError(
                "SITE_URL: only './darkroom up' finds out which program answers there; other processes need SITE and "
                "SITE_<NAME>_URL."
            )
        return cls(settings.site, settings.recipes_dir, urls=settings.site_urls)

    def list_all(self) -> list[Recipe]:
        """Return every recipe, sorted by name."""
        self._refresh()
        return [self._recipes[name] for name in sorted(self._recipes)]

    def get(self, name: str | None) -> Recipe:
        """Return the recipe of that name, or with None the default one.

        Raises:
            Invalid: there is no such recipe.
        """
        self._refresh()
        if name is None:
            return self.default
        if name not in self._recipes:
            known = ", ".join(sorted(self._recipes))
            raise Invalid(problems=[f"site: there is no site {name!r} here. Known: {known}."])
        return self._recipes[name]

    def read_text(self, name: str) -> tuple[str, bool]:
        """Return the text of a recipe's file, and whether it is the user's own; raises Invalid as ``get``."""
        path = self._find_files().get(self.get(name).name)
        if path is None:
            raise Invalid(problems=[f"site: the recipe {name!r} has no file."])
        return path.read_text(), path.parent == self._user_folder

    def validate_text(self, name: str, text: str) -> Recipe:
        """Return the recipe that a file with this text would be; raises Invalid with every mistake."""
        if not RECIPE_NAME.fullmatch(name):
            raise Invalid(problems=["name: Lower-case letters, digits, '-' and '_', beginning with a letter."])
        folders = [folder for folder in (self._user_folder, self._shipped_folder) if folder]
        try:
            raw = tomllib.loads(text)
            _read_documents(raw, folders)
        except (tomllib.TOMLDecodeError, OSError, SettingsError) as error:
            raise Invalid(problems=[str(error)]) from error
        return load_recipe(name, raw)

    def write(self, name: str, text: str) -> None:
        """Store one of the user's own recipes; every process of this machine uses it within REFRESH_INTERVAL_S.

        Raises:
            Invalid: the text is no valid recipe.
            Conflict: there is no folder for the user's own recipes.
        """
        self.validate_text(name, text)
        if self._user_folder is None:
            raise Conflict("There is no folder for your own recipes: set RECIPES_DIR and start Darkroom again.")
        write_atomically(self._user_folder / f"{name}.toml", text.encode())
        self._checked_at = 0.0
        self._refresh()

    def _refresh(self) -> None:
        """Read the user's recipes again if their files have changed; with a mistake in them the present ones stay."""
        if self._user_folder is None or time.monotonic() - self._checked_at < REFRESH_INTERVAL_S:
            return
        self._checked_at = time.monotonic()
        if (signature := self._read_signature()) == self._signature:
            return
        self._signature = signature
        try:
            recipes = {
                name: _with_url(_load(path, self._shipped_folder), self._urls)
                for name, path in self._find_files().items()
            }
        except SettingsError as error:
            log.warning("recipes.not_reloaded", error=str(error))
            return
        if self._default in recipes:
            self._recipes = recipes
            log.info("recipes.reloaded", recipes=len(recipes))

    def _find_files(self) -> dict[str, Path]:
        folders = [folder for folder in (self._shipped_folder, self._user_folder) if folder]
        return {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}

    def _read_signature(self) -> tuple[tuple[str, int, int], ...]:
        """Return what changes with the files of the user's folder."""
        found = []
        for path in sorted(self._user_folder.glob("*.toml")) if self._user_folder else ():
            with contextlib.suppress(OSError):
                stat = path.stat()
                found.append((path.name, stat.st_mtime_ns, stat.st_size))
        return tuple(found)

    def get_limits(self, name: str) -> SiteLimits:
        """Return the limits of a site; none if its recipe has been removed."""
        return self._recipes[name].limits if name in self._recipes else UNLIMITED_SITE


def _with_url(recipe: Recipe, urls: Mapping[str, str]) -> Recipe:
    url = urls.get(_variable_part(recipe.name))
    # Another URL serves another page, so the bundled files are not used.
    return replace(recipe, url=url, bundle=None) if url else recipe


def _variable_part(name: str) -> str:
    """The recipe's name as it stands in ``SITE_NAME_URL``, in lower case."""
    return name.lower().replace("-", "_")


def _load(path: Path, shipped_folder: Path) -> Recipe:
    try:
        raw = tomllib.loads(path.read_text())
        _read_documents(raw, (path.parent, shipped_folder))
        return load_recipe(path.stem, raw)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{path}: {error}") from error
    except Invalid as error:
        raise SettingsError(" ".join(error.problems)) from error


def _read_documents(raw: dict[str, Any], folders: Sequence[Path]) -> None:
    """Replace the ``file`` of each document by its content. Files lie beside the recipe, or beside the shipped ones."""
    documents = raw.get("documents")
    for document in documents.values() if isinstance(documents, dict) else ():
        if isinstance(document, dict) and isinstance(file := document.get("file"), str):
            paths = [folder / file for folder in folders]
            if any(path.parent != folder for path, folder in zip(paths, folders, strict=True)):
                raise SettingsError(f"{folders[0]}: the document {file!r} is not a file beside its recipe.")
            path = next((path for path in paths if path.exists()), paths[0])
            if path.is_symlink() or not path.is_file():
                raise SettingsError(f"{folders[0]}: the document {file!r} is not a file beside its recipe.")
            document["content"] = path.read_text()
            del document["file"]
