"""The draft of a recipe that was written by a program."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RecipeDraft:
    """The content of a recipe file, a sentence to tell it from other drafts, and sentences about uncertainties.

    ``page`` says what the recipe was made for, such as ``Gradio 5.50.0``.
    """

    recipe: dict[str, Any]
    page: str
    summary: str
    doubts: tuple[str, ...]


def printable(text: str) -> str:
    """Return a text of the page without control characters, for terminals and for comments of a recipe file."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
