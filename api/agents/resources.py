"""Resources: the results of the caller's jobs with their bytes, the models of the library, and the sites."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mcp_types import Resource, ResourceTemplate

from api.agents.model_views import model_uri
from api.agents.pictures import result_uri, show_picture
from api.agents.searches import MAX_CHOICES_OF_ONE_SITE, describe_site
from api.http.context import caller, own_job, stores
from api.jobs.serializers import native_job
from api.library.image_files import read_thumbnail
from api.library.serializers import model_detail
from api.sites.site_queries import site_choices
from schemas.errors import Conflict, Gone, Invalid, NotFound
from schemas.jobs.lifecycle import JobState
from schemas.library.requests import MAX_ID
from schemas.library.search_query import SearchQuery, SortKey, SortOrder
from schemas.paging import INVALID_CURSOR, Cursor, KeysetCursor
from stores.jobs.job_search import JobFilter
from stores.library.search import SearchFilter

PAGE_SIZE = 50
MAX_NAME_CHARS = 80
JSON_TYPE, WEBP_TYPE = "application/json", "image/webp"
# A model's document may have hundreds of files and images; clients get its beginning as valid JSON.
MAX_LISTED = 20
MAX_JSON_CHARS = 500_000
# Results come before models; the letter of a cursor tells which of the two lists it continues.
RESULTS, MODELS = "r", "m"

TEMPLATES = [
    ResourceTemplate(
        name="result",
        title="Picture of a job",
        uri_template="darkroom://jobs/{jobId}/results/{number}",
        description="The bytes of a picture of one of your jobs, counted from 1; a scaled-down copy of a large one.",
    ),
    ResourceTemplate(
        name="job",
        title="Job",
        uri_template="darkroom://jobs/{jobId}",
        mime_type=JSON_TYPE,
        description="One of your jobs, with links to its pictures.",
    ),
    ResourceTemplate(
        name="model",
        title="Model",
        uri_template="darkroom://models/{modelId}",
        mime_type=JSON_TYPE,
        description="A model of the library with its metadata and links to its images.",
    ),
    ResourceTemplate(
        name="model_image",
        title="Picture of a model",
        uri_template="darkroom://models/{modelId}/image",
        mime_type=WEBP_TYPE,
        description="The bytes of a model's thumbnail.",
    ),
    ResourceTemplate(
        name="site",
        title="Site",
        uri_template="darkroom://sites/{name}",
        mime_type=JSON_TYPE,
        description="A site with the inputs that it takes.",
    ),
]


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a resource: text, or bytes."""

    data: str | bytes
    media_type: str


def list_resources(cursor: str | None) -> tuple[list[Resource], str | None]:
    """Return a page of resources, and the cursor of the next one: the newest results, then the models by name."""
    kind, _, position = (cursor or f"{RESULTS}.").partition(".")
    if kind == RESULTS:
        return _list_results(Cursor.decode(position) if position else None)
    if kind == MODELS:
        return _list_models(KeysetCursor.decode(position) if position else None)
    raise Invalid(INVALID_CURSOR)


def read_resource(uri: str) -> Content:
    """Return the content of a resource.

    Raises:
        NotFound: there is no such resource, or it belongs to another caller. Further errors as the views of the API.
    """
    for pattern, read in READERS:
        if match := pattern.fullmatch(uri):
            return read(*match.groups())
    raise NotFound(f"There is no resource {uri[:100]!r}; resources/templates/list has the URI templates.")


def _list_results(cursor: Cursor | None) -> tuple[list[Resource], str | None]:
    criteria = JobFilter(caller().id, frozenset({JobState.COMPLETED}))
    page = stores().job_search.find_page(criteria, cursor, PAGE_SIZE)
    found = [
        Resource(
            uri=result_uri(job.id, number),
            name=f"{job.id}-{number}",
            title=job.request.prompt[:MAX_NAME_CHARS],
            mime_type=result.type,
            size=result.size_bytes,
        )
        for job, _ in page.jobs
        for number, result in enumerate(job.results, 1)
    ]
    if page.next_cursor:
        return found, f"{RESULTS}.{page.next_cursor.encode()}"
    return found, f"{MODELS}." if stores().settings.models_dir else None


def _list_models(cursor: KeysetCursor | None) -> tuple[list[Resource], str | None]:
    criteria = SearchFilter({}, SearchQuery(), SortOrder(SortKey.NAME, descending=False))
    page = stores().library.search.find_page(criteria, limit=PAGE_SIZE, cursor=cursor)
    found = [
        Resource(uri=model_uri(model.id), name=f"model-{model.id}", title=model.name, mime_type=JSON_TYPE)
        for model in stores().library.models.get_many(page.ids)
    ]
    return found, f"{MODELS}.{page.next_cursor.encode()}" if page.next_cursor else None


def _read_result(job_id: str, number: str) -> Content:
    job = own_job(job_id)
    if job.state is not JobState.COMPLETED:
        raise Conflict(job.error.message if job.error else f"The job is {job.state}: there is no picture yet.")
    if int(number) > len(job.results):
        raise NotFound(f"There is no picture number {number}: the job has {len(job.results)}.")
    shown = show_picture(job, int(number))
    if shown is None:
        raise Gone("The picture has expired, or is too large for an answer; use the link that the job names.")
    return Content(shown.data, shown.media_type)


def _read_job(job_id: str) -> Content:
    own_job(job_id)
    return _json(native_job(stores(), *stores().jobs.get_with_estimate(job_id)))


def _read_model(model_id: str) -> Content:
    detail = model_detail(stores().library.models.get(_row_id(model_id)))
    for version in detail["versions"]:
        version["files"], version["images"] = version["files"][:MAX_LISTED], version["images"][:MAX_LISTED]
    detail["versions"] = detail["versions"][:MAX_LISTED]
    detail["modelLevelImages"] = detail["modelLevelImages"][:MAX_LISTED]
    return _json(detail)


def _read_model_image(model_id: str) -> Content:
    hero = stores().library.models.get(_row_id(model_id)).hero
    if hero is None:
        raise NotFound("The model has no image.")
    data, _ = read_thumbnail(stores().library.images.get(hero.id))
    return Content(data, WEBP_TYPE)


def _read_site(name: str) -> Content:
    recipe = next((recipe for recipe in stores().recipes.list_all() if recipe.name == name), None)
    if recipe is None:
        raise NotFound(f"There is no site {name[:60]!r} here.")
    return _json(describe_site(recipe, site_choices(recipe), MAX_CHOICES_OF_ONE_SITE))


def _row_id(text: str) -> int:
    if int(text) > MAX_ID:
        raise NotFound("Model not found")
    return int(text)


def _json(document: dict[str, Any]) -> Content:
    text = json.dumps(document, ensure_ascii=False)
    if len(text) > MAX_JSON_CHARS:
        raise Conflict("The document is too large for an answer; read it from the HTTP API.")
    return Content(text, JSON_TYPE)


READERS: tuple[tuple[re.Pattern[str], Callable[..., Content]], ...] = (
    (re.compile(r"darkroom://jobs/([0-9a-f]{32})/results/([1-9][0-9]?)"), _read_result),
    (re.compile(r"darkroom://jobs/([0-9a-f]{32})"), _read_job),
    (re.compile(r"darkroom://models/([1-9][0-9]{0,15})", re.ASCII), _read_model),
    (re.compile(r"darkroom://models/([1-9][0-9]{0,15})/image", re.ASCII), _read_model_image),
    (re.compile(r"darkroom://sites/([a-z0-9_-]{1,64})"), _read_site),
)
