"""The loading of recipes: those that ship and the user's own, which win where names are the same."""

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
    """All the sites that this installation knows."""

    def __init__(
        self,
        default: str,
        user_folder: Path | None = None,
        shipped_folder: Path = SHIPPED_RECIPES,
        *,
        urls: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Reads every file once; ``urls`` say where sites are, whatever their recipes say.

        Raises:
            SettingsError: a recipe is not valid, or the default site does not exist.
        """
        files = {
            path.stem: path
            for folder in (shipped_folder, user_folder)
            if folder
            for path in sorted(folder.glob("*.toml"))
        }
        self._recipes = {name: _at(_load(path), urls) for name, path in files.items()}
        if strangers := sorted(set(urls) - {_variable(name) for name in files}):
            raise SettingsError(f"SITE_{strangers[0].upper()}_URL: there is no recipe of that name.")
        if default not in self._recipes:
            raise SettingsError(f"SITE: there is no recipe {default!r}; there are: {', '.join(self._recipes)}.")
        self.default = self._recipes[default]

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The sites that the settings mean; raises SettingsError as the constructor does."""
        return cls(settings.site, settings.recipes_dir, urls=settings.site_urls)

    def list_all(self) -> list[Recipe]:
        """Every recipe, by name."""
        return [self._recipes[name] for name in sorted(self._recipes)]

    def get(self, name: str | None) -> Recipe:
        """The recipe of that name, or the default one.

        Raises:
            Invalid: there is none.
        """
        if name is None:
            return self.default
        if name not in self._recipes:
            known = ", ".join(sorted(self._recipes))
            raise Invalid(problems=[f"site: there is no site {name!r} here. Known: {known}."])
        return self._recipes[name]

    def get_limits(self, name: str) -> SiteLimits:
        """How hard a site may be driven; not limited if its recipe is no longer here."""
        return self._recipes[name].limits if name in self._recipes else UNLIMITED_SITE


def build_scheduling_rules(recipes: Recipes) -> list[str | int]:
    """Of each site: its name, the most jobs at once, the pause after a start in ms, the most a day; for the scripts."""
    return [part for recipe in recipes.list_all() for part in _rules(recipe)]


def _rules(recipe: Recipe) -> tuple[str, int, int, int]:
    limits = recipe.limits
    # A pause that is never twice the same spares the site a drumbeat.
    pause_ms = round(limits.min_interval_s * 1000 * random.uniform(1.0, 1.2)) if limits.min_interval_s else 0
    return recipe.name, limits.concurrency, pause_ms, limits.daily


def _at(recipe: Recipe, urls: Mapping[str, str]) -> Recipe:
    url = urls.get(_variable(recipe.name))
    # A bundled page is served at its own address only; at another one there is a page of the user's.
    return replace(recipe, url=url, bundle=None) if url else recipe


def _variable(name: str) -> str:
    """A recipe's name as a part of a variable's name."""
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
    """Put the content of the files that a recipe's documents name into it; they stand beside the recipe."""
    documents = raw.get("documents")
    for document in documents.values() if isinstance(documents, dict) else ():
        if isinstance(document, dict) and isinstance(file := document.get("file"), str):
            path = folder / file
            if path.parent != folder or path.is_symlink():
                raise SettingsError(f"{folder}: the document {file!r} is not a file beside its recipe.")
            document["content"] = path.read_text()
            del document["file"]
