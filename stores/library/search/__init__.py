"""Finds models: filters, full-text search, sort orders, pages by number and by keyset cursor, and their numbers."""

from stores.library.search.criteria import Facets, SearchFilter, SearchPage
from stores.library.search.pages import ModelSearch

__all__ = ["Facets", "ModelSearch", "SearchFilter", "SearchPage"]
