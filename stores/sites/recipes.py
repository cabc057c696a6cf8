"""Loading of recipes: the shipped ones and the user's, which take precedence."""

import random
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from ops.infra.settings import SHIPPED_RECIPES, Settings, SettingsError
from schemas.errors import Invalid
from schemas.sites.recipe import Recipe, SiteLimits
from schemas.sites.recipe_schema import load_recipe

UNLIMITED_SITE = SiteLimits(concurrency=0, min_interval_s=0.0, daily=0)


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
        """Read every file once.

        ``urls`` replace the URLs of recipes, by the recipe's name in lower case with underscores (``SITE_NAME_URL``).

        Raises:
            SettingsError: a recipe is invalid, the default site does not exist, or a URL is for an unknown recipe.
        """
        files = {
            path.stem: path
            for folder in (shipped_folder, user_folder)
            if folder
            for path in sorted(folder.glob("*.toml"))
        }
        self._recipes = {name: _with_url(_load(path), urls) for name, path in files.items()}
        if unknown := sorted(set(urls) - {_variable_part(name) for name in files}):
            raise SettingsError(f"SITE_{unknown[0].upper()}_URL: there is no recipe of that name.")
        if default not in self._recipes:
            raise SettingsError(f"SITE: there is no recipe {default!r}; there are: {', '.join(self._recipes)}.")
        self.default = self._recipes[default]

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
        return [self._recipes[name] for name in sorted(self._recipes)]

    def get(self, name: str | None) -> Recipe:
        """Return the recipe of that name, or with None the default one.

        Raises:
            Invalid: there is no such recipe.
        """
        if name is None:
            return self.default
        if name not in self._recipes:
            known = ", ".join(sorted(self._recipes))
            raise Invalid(problems=[f"site: there is no site {name!r} here. Known: {known}."])
        return self._recipes[name]

    def get_limits(self, name: str) -> SiteLimits:
        """Return the limits of a site; none if its recipe has been removed."""
        return self._recipes[name].limits if name in self._recipes else UNLIMITED_SITE


def build_scheduling_rules(recipes: Recipes) -> list[dict[str, str | int]]:
    """Return the limits of each site as ``claim.lua`` takes them; 0 means no limit."""
    return [
        {
            "name": recipe.name,
            "concurrency": recipe.limits.concurrency,
            # Jittered, so that a site is not visited at a fixed beat.
            "pause_ms": round(recipe.limits.min_interval_s * 1000 * random.uniform(1.0, 1.2)),
            "daily": recipe.limits.daily,
        }
        for recipe in recipes.list_all()
    ]


def _with_url(recipe: Recipe, urls: Mapping[str, str]) -> Recipe:
    url = urls.get(_variable_part(recipe.name))
    # Another URL serves another page, so the bundled files are not used.
    return replace(recipe, url=url, bundle=None) if url else recipe


def _variable_part(name: str) -> str:
    """The recipe's name as it stands in ``SITE_NAME_URL``, in lower case."""
    return name.lower().replace("-", "_")


def _load(path: Path) -> Recipe:
    try:
        raw = tomllib.loads(path.read_text())
        _read_documents(raw, path.parent)
        return load_recipe(path.stem, raw)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{path}: {error}") from error
    except Invalid as error:
        raise SettingsError(" ".join(error.problems)) from error


def _read_documents(raw: dict[str, Any], folder: Path) -> None:
    """Replace the ``file`` of each document by its content. Files must lie in the recipe's folder."""
    documents = raw.get("documents")
    for document in documents.values() if isinstance(documents, dict) else ():
        if isinstance(document, dict) and isinstance(file := document.get("file"), str):
            path = folder / file
            if path.parent != folder or path.is_symlink():
                raise SettingsError(f"{folder}: the document {file!r} is not a file beside its recipe.")
            document["content"] = path.read_text()
            del document["file"]
