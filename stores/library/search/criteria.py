"""What a search asks for, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.library.search_query import SearchQuery, SortOrder
from schemas.paging import KeysetCursor


@dataclass(frozen=True, slots=True)
class SearchFilter:
    """Which models: ``equal`` has names of EQUALITY_COLUMNS; ``tags_mode`` is ``any``, ``all`` or ``none``."""

    equal: Mapping[str, str]
    query: SearchQuery
    order: SortOrder
    tags: tuple[str, ...] = ()
    tags_mode: str = "any"
    max_nsfw: int | None = None
    has_metadata: bool | None = None

    @property
    def is_by_value_alone(self) -> bool:
        """Whether the search asks for nothing but ``equal`` and ``tags``."""
        is_open = self.max_nsfw is None and self.has_metadata is None
        return is_open and not (self.query.terms or self.query.phrases)

    @property
    def is_empty(self) -> bool:
        """Whether all models on disk match."""
        return self.is_by_value_alone and not (self.equal or self.tags)

    @property
    def names_local(self) -> bool:
        """Whether the search says itself if models must be on disk."""
        return any(term.field == "is" and term.value in ("missing", "local") for term in self.query.terms)


@dataclass(frozen=True, slots=True)
class SearchPage:
    """The ids of one page, the number of all matches, and the cursor of the next page."""

    ids: list[int]
    total: int
    next_cursor: KeysetCursor | None
    total_is_estimate: bool = False


@dataclass(frozen=True, slots=True)
class Facets:
    """The most frequent values of the models that match, each with their number.

    ``values`` has them by ``category``, ``base_model``, ``type`` and ``tags``.
    """

    values: Mapping[str, list[tuple[str, int]]]
    are_estimates: bool = False
