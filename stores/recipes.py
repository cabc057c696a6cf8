"""Owns the loading of recipes: those that ship and the user's own, which win where names are the same.

Called by ``stores.open_stores``; used by the API to check inputs and by the workers to drive pages.
"""

import tomllib
from pathlib import Path

from ops.settings import SHIPPED_RECIPES, SettingsError
from schemas.errors import Invalid
from schemas.recipes import load_recipe
from schemas.sites import Recipe


class Recipes:
    """All the sites that this installation knows."""

    def __init__(self, default: str, own: Path | None = None, shipped: Path = SHIPPED_RECIPES) -> None:
        """Reads every file once.

        Raises:
            SettingsError: a recipe is not valid, or the default site does not exist.
        """
        files = {path.stem: path for folder in (shipped, own) if folder for path in sorted(folder.glob("*.toml"))}
        self._recipes = {name: _load(path) for name, path in files.items()}
        if default not in self._recipes:
            raise SettingsError(f"SITE: there is no recipe {default!r}; there are: {', '.join(self._recipes)}.")
        self.default = self._recipes[default]

    def all(self) -> list[Recipe]:
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


def _load(path: Path) -> Recipe:
    try:
        return load_recipe(path.stem, tomllib.loads(path.read_text()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{path}: {error}") from error
    except Invalid as error:
        raise SettingsError(" ".join(error.problems)) from error
