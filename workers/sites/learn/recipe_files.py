"""Files of learned recipes: their names, and their text with the doubts as comments at the top."""

import re
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import tomli_w

from ops.infra.settings import SHIPPED_RECIPES
from schemas.errors import Invalid
from schemas.sites.recipe_schema import NAME_PATTERN
from workers.sites.learn.detection import DetectedProgram
from workers.sites.learn.recipe_draft import RecipeDraft, printable

MAX_NAME_CHARS = 40
# Default titles of apps whose author chose none.
DEFAULT_TITLES = frozenset({"", "gradio"})


def choose_name(name: str | None, program: DetectedProgram, folder: Path) -> str:
    """Return the name of a new recipe, unused in the folder and by the shipped recipes.

    Raises:
        Invalid: the given name is not a valid one, or is taken.
    """
    if name is not None:
        if not re.fullmatch(NAME_PATTERN, name):
            rule = f"a lower-case letter, then lower-case letters, digits, '-' or '_', at most {MAX_NAME_CHARS}"
            raise Invalid(problems=[f"--name: {name!r} must be {rule}."])
        if _is_taken(name, folder):
            raise Invalid(problems=[f"--name: there is already a recipe {name!r}; choose another name."])
        return name
    own_title = page_title(program)
    parts = urlsplit(program.url)
    base = _slug(own_title) or _slug(f"{parts.hostname}-{parts.port or ''}") or "learned"
    candidates = [base, *(f"{base[: MAX_NAME_CHARS - 4]}-{number}" for number in range(2, 1000))]
    return next(candidate for candidate in candidates if not _is_taken(candidate, folder))


def page_title(program: DetectedProgram) -> str:
    """Return the title that the app's author gave it; empty if none."""
    title = str((program.config or {}).get("title") or "").strip()
    return "" if title.lower() in DEFAULT_TITLES else title


def render_file(draft: RecipeDraft, *, tested: bool) -> str:
    """Return the text of a recipe's file."""
    today = datetime.now(UTC).date().isoformat()
    comments = [f"Written by './darkroom sites learn' on {today} for {draft.page}.", draft.summary]
    comments += [f"Uncertain: {doubt}" for doubt in draft.doubts]
    recipe = dict(draft.recipe)
    if tested:
        recipe["tested"] = {"with": f"{draft.page}, one trial on {today}", "real": True}
    lines = "".join(f"# {' '.join(printable(comment).split())}\n" for comment in comments)
    return f"{lines}\n{tomli_w.dumps(recipe)}"


def write_file(path: Path, draft: RecipeDraft, *, tested: bool) -> Path:
    """Write a recipe's file, which must not exist, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(render_file(draft, tested=tested))
    return path


def _is_taken(name: str, folder: Path) -> bool:
    return any((place / f"{name}.toml").exists() for place in (folder, SHIPPED_RECIPES))


def _slug(text: str) -> str:
    return re.sub(r"^[^a-z]+", "", re.sub(r"[^a-z0-9]+", "-", text.lower()))[:MAX_NAME_CHARS].rstrip("-")
