"""The Jobs section: all jobs of the caller as they run, the details of one, and why it failed."""

from typing import Any

from flask import Response, g, request
from werkzeug.wrappers import Response as BaseResponse

from api.console.forms import go_back, go_to, require_scope, sees_everything
from api.console.page import HEADERS, render, section_blueprint
from api.console.sections import JOBS
from api.console.text_filters import add_text_filters
from api.console.views.failure_view import failure_view
from api.console.views.gallery import redirect_to_token
from api.gallery.lookups import own_collection
from api.gallery.new_tokens import add_job_picture
from api.http.context import caller, require_owner, stores
from api.http.rate_limits import count_submission
from api.jobs.serializers import native_job
from api.library.images import keep_job_image
from schemas.accounts.caller import Scope
from schemas.errors import NotFound
from schemas.fields import to_snake_case
from schemas.gallery.collections import Collection
from schemas.gallery.pages import Page
from schemas.jobs.job import Job, QueueEstimate
from schemas.jobs.lifecycle import JobState
from schemas.library.search_query import SortKey, SortOrder, parse_query
from schemas.paging import Cursor
from stores.jobs.job_search import JobFilter
from stores.jobs.submission import resubmit
from stores.library.search import SearchFilter

PAGE_SIZE = 200
MAX_TEXT_CHARS = 200
MAX_MODELS = 12
SEED = "seed"
MAX_COLLECTIONS = 100
# The choices of the filter by state.
STATES = {
    "open": frozenset({JobState.QUEUED, JobState.STARTING, JobState.PENDING}),
    "completed": frozenset({JobState.COMPLETED}),
    "failed": frozenset({JobState.FAILED}),
}

blueprint = section_blueprint("jobs")
add_text_filters(blueprint)


@blueprint.route(JOBS.path)
def board() -> Response:
    """Show the jobs that match ``q``, ``state`` and ``site``; ``who=all`` those of all callers.

    With ``part=board`` only the list is sent, for the script that keeps it up to date.
    """
    page = stores().job_search.find_page(_filter(), _cursor(), PAGE_SIZE)
    context: dict[str, Any] = {
        "jobs": [_row(job, estimate) for job, estimate in page.jobs],
        "next_cursor": page.next_cursor.encode() if page.next_cursor else None,
        "query": _query(),
        "shows_everybody": _shows_everybody(),
        "is_filtered": any(request.args.get(name) for name in ("q", "state", "site")),
    }
    if request.args.get("part") == "board":
        return render("jobs/board.html", **context)
    return render(
        "jobs/index.html",
        section=JOBS,
        title=JOBS.title,
        sites=[recipe.name for recipe in stores().recipes.list_all()],
        can_see_everybody=sees_everything(),
        usage=stores().quotas.get_usage(caller().id),
        **context,
    )


@blueprint.route(f"{JOBS.path}/<job_id:job_id>")
def detail(job_id: str) -> Response:
    """Show one job. ``models`` searches the library for a model that keeps its picture."""
    job, estimate = _visible_job(job_id)
    report = stores().jobs.get_failure_report(job.id)
    search = request.args.get("models", "")[:MAX_TEXT_CHARS]
    return render(
        "jobs/detail.html" if request.args.get("part") != "live" else "jobs/live.html",
        section=JOBS,
        title=job.request.prompt[:60],
        job=_row(job, estimate),
        events=stores().event_log.read_job(job, 0),
        failure=failure_view(report) if report else None,
        has_trace=stores().results.has_trace(job.id),
        is_own=job.owner == caller().id,
        search=search,
        models=_find_models(search) if job.results else [],
        collections=_own_collections() if job.results and job.owner == caller().id else (),
        kept=request.args.get("kept"),
    )


@blueprint.route(f"{JOBS.path}/<job_id:job_id>/trace")
def trace(job_id: str) -> Response:
    """Send the Playwright trace of the last failed attempt."""
    job, _ = _visible_job(job_id)
    recorded = stores().results.get_trace(job.id)
    if recorded is None:
        raise NotFound("There is no trace: only failed retries are recorded, and none on sites with a login.")
    headers = {"Content-Disposition": f'attachment; filename="darkroom-{job.id}-trace.zip"'}
    return Response(recorded, headers=headers, mimetype="application/zip")


@blueprint.route(f"{JOBS.path}/<job_id:job_id>/inputs/<name>")
def input_picture(job_id: str, name: str) -> Response:
    """Send the picture of an input of a job."""
    job, _ = _visible_job(job_id)
    file = stores().input_images.get_picture(job, to_snake_case(name))
    return Response(file.data, headers={**HEADERS, "X-Content-Type-Options": "nosniff"}, mimetype=file.media_type)


@blueprint.route(f"{JOBS.path}/<job_id:job_id>/cancel", methods=["POST"])
def cancel(job_id: str) -> BaseResponse:
    """Cancel a job."""
    require_scope(Scope.GENERATE)
    stores().jobs.cancel(_visible_job(job_id)[0].id)
    return go_back(JOBS.path)


@blueprint.route(f"{JOBS.path}/<job_id:job_id>/retry", methods=["POST"])
def retry(job_id: str) -> BaseResponse:
    """Submit the same request again, as the caller's own job.

    ``seed`` takes the place of the job's seed. ``intent`` is the idempotency key of one press of the button.
    """
    require_scope(Scope.GENERATE)
    job, _ = _visible_job(job_id)
    count_submission(caller())
    changes = {SEED: request.form[SEED]} if SEED in request.form else {}
    intent = request.form.get("intent") or None
    accepted = resubmit(stores(), caller(), job, request_id=g.request_id, changes=changes, idempotency_key=intent)
    return go_to(f"{JOBS.path}/{accepted.job.id}")


@blueprint.route(f"{JOBS.path}/<job_id:job_id>/keep", methods=["POST"])
def keep(job_id: str) -> BaseResponse:
    """Keep a picture of the job with a model of the library."""
    require_scope(Scope.LIBRARY)
    job, _ = _visible_job(job_id)
    model_id = request.form.get("model", type=int, default=0)
    model = stores().library.models.get(model_id)
    keep_job_image(model.id, job, number=request.form.get("number", type=int, default=1))
    return go_to(f"{JOBS.path}/{job.id}", kept=model.name[:MAX_TEXT_CHARS])


@blueprint.route(f"{JOBS.path}/<job_id:job_id>/collect", methods=["POST"])
def collect(job_id: str) -> BaseResponse:
    """Keep a picture of the caller's job in one of their collections."""
    require_scope(Scope.GALLERY)
    collection = own_collection(request.form.get("collection", ""))
    fields = {"is_prompt_private": "private" in request.form}
    token = add_job_picture(collection, fields, job_id, request.form.get("number", type=int, default=1))
    return redirect_to_token(collection.slug, token.token_id, "added")


@blueprint.route(f"{JOBS.path}/cancel", methods=["POST"])
def cancel_all() -> BaseResponse:
    """Cancel all unfinished jobs of the caller."""
    require_scope(Scope.GENERATE)
    stores().jobs.cancel_all(caller().id)
    return go_back(JOBS.path)


def _shows_everybody() -> bool:
    return request.args.get("who") == "all" and sees_everything()


def _query() -> dict[str, str]:
    """Return the filter in the address, in the form in which links repeat it."""
    given = {name: request.args.get(name, "")[:MAX_TEXT_CHARS] for name in ("q", "state", "site", "who")}
    return {name: value for name, value in given.items() if value}


def _filter() -> JobFilter:
    query = _query()
    return JobFilter(
        owner=None if _shows_everybody() else caller().id,
        states=STATES.get(query.get("state", ""), frozenset()),
        site=query.get("site", ""),
        text=query.get("q", ""),
    )


def _cursor() -> Cursor | None:
    token = request.args.get("cursor")
    return Cursor.decode(token) if token else None


def _visible_job(job_id: str) -> tuple[Job, QueueEstimate]:
    """Return a job of the caller, or of any caller for those who see everything; raises NotFound and Gone."""
    job, estimate = stores().jobs.get_with_estimate(job_id)
    if not sees_everything():
        require_owner(job, caller().id)
    return job, estimate


def _row(job: Job, estimate: QueueEstimate) -> dict[str, Any]:
    """Return a job as the templates show it: the native view, and what only the console shows."""
    has_picture = bool(job.results) or (job.preview_version > 0 and not job.state.is_final)
    ran_ms = (job.finished_at or stores().clock.now_ms()) - job.started_at if job.started_at else None
    return native_job(stores(), job, estimate) | {
        "owner": job.owner,
        "picture": f"/{job.id}.jpg?v={job.seq}" if has_picture else None,
        "is_final": job.state.is_final,
        "is_cancelling": job.cancel_requested_at is not None and not job.state.is_final,
        "ran_s": None if ran_ms is None else ran_ms / 1000,
        "retries": job.retries,
    }


def _find_models(search: str) -> list[Any]:
    if not search:
        return []
    query = parse_query(search)
    criteria = SearchFilter({}, query, query.order or SortOrder(SortKey.NAME, descending=False))
    return stores().library.models.get_many(stores().library.search.find_page(criteria, limit=MAX_MODELS).ids)


def _own_collections() -> tuple[Collection, ...]:
    """Return the caller's latest collections."""
    profile = stores().gallery.profiles.get_or_create(caller().id)
    return stores().gallery.collections.list_of_owner(profile.address, Page(size=MAX_COLLECTIONS)).items
