"""The tools that find things: sites and their inputs, models, kept pictures."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp_types import CallToolResult, TextContent

from api.agents.model_views import agent_model
from api.gallery.lookups import find_collection, visible_token
from api.gallery.serializers import token_view
from api.http.context import stores
from api.library.models import search_filter
from api.sites.serializers import site_view
from api.sites.site_queries import known_choices, search_loras, site_choices
from schemas.errors import Forbidden, Invalid, Unavailable
from schemas.fields import to_camel_case
from schemas.gallery.pages import ExplicitFilter, Page
from schemas.gallery.tokens import Token
from schemas.library.requests import ModelListQuery
from schemas.paging import INVALID_CURSOR, KeysetCursor
from schemas.sites.recipe import Recipe

# A site may list thousands of checkpoints; the tool returns them all for one site only.
MAX_CHOICES, MAX_CHOICES_OF_ONE_SITE = 30, 500
MAX_SITE_LORAS = 20
MAX_TEXT_CHARS = 500
# Of the gallery, looked at in one call; the answer then has a cursor to go on with.
MAX_EXAMINED, TOKENS_PER_READ = 2_000, 100
SHOWN_SITE_FIELDS = ("name", "title", "description", "hasLoras", "needsLogin", "inputs")
SHOWN_TOKEN_FIELDS = ("tokenId", "name", "description", "attributes", "model", "creator", "url", "createdAt")
SHOWN_MEDIA_FIELDS = ("type", "width", "height", "url", "thumbUrl")

Context = ServerRequestContext[Any, Any]


async def list_sites(_: Context, arguments: dict[str, Any]) -> CallToolResult:
    """Return the sites with the inputs that each takes, or one site with all choices of its inputs."""
    if "site" in arguments:
        recipe = stores().recipes.get(arguments["site"])
        return _answer(describe_site(recipe, site_choices(recipe), MAX_CHOICES_OF_ONE_SITE))
    recipes = stores().recipes
    sites = [describe_site(recipe, known_choices(recipe), MAX_CHOICES) for recipe in recipes.list_all()]
    return _answer({"default": recipes.default.name, "sites": sites})


def describe_site(recipe: Recipe, choices: Mapping[str, list[str]], max_choices: int) -> dict[str, Any]:
    """Return a site for a model: its inputs, and why it makes no pictures now if it cannot."""
    circuit = stores().circuit_breakers.read([recipe.name])[recipe.name]
    view = site_view(recipe, circuit, terms_accepted=stores().accepted_terms.is_accepted(recipe))
    shown = {name: view[name] for name in SHOWN_SITE_FIELDS}
    for name, values in choices.items():
        shown["inputs"][to_camel_case(name)]["enum"] = values
    for spec in shown["inputs"].values():
        if len(spec.get("enum", ())) > max_choices:
            spec |= {"enum": spec["enum"][:max_choices], "moreChoices": len(spec["enum"]) - max_choices}
    problems = [f"Its jobs wait: {circuit.error}"] if circuit.is_open else []
    if not view["consent"]["given"]:
        problems.append("Its terms have not been accepted, so it takes no jobs.")
    return shown | ({"problem": " ".join(problems)} if problems else {})


async def search_models(_: Context, arguments: dict[str, Any]) -> CallToolResult:
    """Return the models of the library that match, and the LoRAs or styles that a site offers itself."""
    query, cursor = arguments["query"], arguments.get("cursor")
    found = _find_models(query, arguments["limit"], cursor)
    if not cursor:
        found |= _find_site_loras(stores().recipes.get(arguments.get("site")), query)
    return _answer(found)


def _find_models(query: str, limit: int, cursor: str | None) -> dict[str, Any]:
    library = stores().library
    criteria = search_filter(ModelListQuery().load({"search": query}))
    page = library.search.find_page(criteria, limit=limit, cursor=KeysetCursor.decode(cursor) if cursor else None)
    models = library.models.get_many(page.ids, with_versions=True)
    return {
        "models": [agent_model(model) for model in models],
        "total": page.total,
        "nextCursor": page.next_cursor.encode() if page.next_cursor else None,
    }


def _find_site_loras(recipe: Recipe, query: str) -> dict[str, Any]:
    try:
        loras, _ = search_loras(recipe, query)
    except (Unavailable, Forbidden) as error:
        return {"siteLoras": [], "siteProblem": error.message}
    of_site = [lora for lora in loras if lora.get("source") != "library"][:MAX_SITE_LORAS]
    shown = [{"lora": lora["name"], "tags": lora.get("tags", [])} for lora in of_site]
    return {"site": recipe.name, "siteLoras": shown}


async def search_gallery(_: Context, arguments: dict[str, Any]) -> CallToolResult:
    """Return the tokens that have all words, as the caller may see them, the newest first."""
    words, limit = arguments["query"].casefold().split(), arguments["limit"]
    found: list[dict[str, Any]] = []
    next_cursor: str | None = None
    tokens = _read_tokens(arguments.get("collection"), ExplicitFilter(arguments["explicit"]), arguments.get("cursor"))
    for examined, (token, position) in enumerate(tokens):
        if len(found) >= limit or examined >= MAX_EXAMINED:
            next_cursor = position
            break
        if _has_words(token, words):
            found.append(_describe_token(token))
    return _answer({"pictures": found, "nextCursor": next_cursor})


def _read_tokens(slug: str | None, explicit: ExplicitFilter, cursor: str | None) -> Iterator[tuple[Token, str]]:
    """Yield the tokens of the gallery or of a collection, each with the cursor of a page that begins with it.

    Such a cursor names a page of the store and how many of its tokens to skip.
    """
    skipped, start = _parse_cursor(cursor)
    collection = find_collection(slug) if slug else None
    lists = stores().gallery.tokens
    while True:
        page = Page(start or None, 0, TOKENS_PER_READ, explicit)
        listed = lists.list_of_collection(collection, page) if collection else lists.list_latest(page)
        for number, token in enumerate(listed.items):
            if number >= skipped:
                yield token, f"{number}.{start}"
        skipped, start = 0, listed.next_cursor or ""
        if not start:
            return


def _parse_cursor(cursor: str | None) -> tuple[int, str]:
    number, dot, start = (cursor or "0.").partition(".")
    if not (dot and number.isascii() and number.isdigit() and len(number) <= 3):
        raise Invalid(INVALID_CURSOR)
    return int(number), start


def _has_words(token: Token, words: list[str]) -> bool:
    shown = visible_token(token)
    attributes = [str(value) for attribute in shown.attributes for value in attribute.values()]
    texts = [shown.name, shown.description or "", shown.model or "", shown.collection.name, *attributes]
    content = "\n".join(texts).casefold()
    return all(word in content for word in words)


def _describe_token(token: Token) -> dict[str, Any]:
    view = token_view(token)
    shown = {name: view[name] for name in SHOWN_TOKEN_FIELDS if view[name] not in (None, "", [])}
    if "description" in shown:
        shown["description"] = shown["description"][:MAX_TEXT_CHARS]
    picture = {name: view["media"][name] for name in SHOWN_MEDIA_FIELDS if view["media"][name] is not None}
    return shown | {"collection": view["collection"]["slug"], "picture": picture}


def _answer(content: dict[str, Any]) -> CallToolResult:
    """Return data for programs, and the same as text for clients that pass on only that."""
    text = json.dumps(content, ensure_ascii=False)
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=content)
