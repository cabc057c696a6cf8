"""The provenance of tokens: recorded from a job and the library, compared with the library, and run again.

The pictures among a job's inputs expire with the job. A token keeps its own copies, as assets that it releases when it
is deleted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import structlog

from schemas.accounts.caller import Caller
from schemas.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from schemas.fields import to_camel_case
from schemas.gallery.asset_names import new_asset_name
from schemas.gallery.assets import Asset
from schemas.gallery.provenance import (
    CATEGORIES,
    IN_LIBRARY,
    KEPT_INPUTS,
    MadeImage,
    UsedModel,
    build_provenance,
    input_pictures,
    list_used_models,
    model_stem,
    repeat_request,
    used_models,
)
from schemas.images import formats
from schemas.images.embedded import read_generation_params
from schemas.images.input_images import ImageSource, InputImage
from schemas.jobs.job import Job, JobRequest
from schemas.library.model_views import FileView, ModelView
from schemas.sites.recipe import Recipe
from stores import Stores
from stores.jobs import submission
from stores.jobs.jobs import AcceptedJob

INPUTS_PREFIX = "gallery/inputs"

log = structlog.get_logger(__name__)


class Presence(StrEnum):
    """Whether the library has a model now.

    ``changed``: a file of that name has different content. ``unknown``: the library does not answer, or there is none.
    """

    PRESENT = "present"
    CHANGED = "changed"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model of a record with the library's current information about it."""

    used: UsedModel
    presence: Presence
    model_id: int | None = None
    file: FileView | None = None


def record_result(stores: Stores, job: Job, image: MadeImage, data: bytes) -> tuple[dict[str, Any], list[Asset]]:
    """Return the record of a completed job's picture, and new names of the pictures of its inputs.

    The names are given to the store with the token. ``data`` are the bytes of the picture.

    Raises:
        Unavailable: the database or the media store does not answer.
    """
    recipe = find_recipe(stores, job.request.site)
    params = read_generation_params(data)
    generation = params.to_json() if params else None
    found = _find_models(stores, list_used_models(job.request, recipe, generation))
    models = [_with_hashes(each) for each in found]
    record = build_provenance(job, recipe, image, models=models, generation=generation)
    record[IN_LIBRARY] = [each.presence is Presence.PRESENT for each in found]
    kept = _keep_inputs(stores, job)
    record[KEPT_INPUTS] = {name: asset.name for name, asset in kept.items()}
    return record, list(kept.values())


def find_models(stores: Stores, record: Mapping[str, Any]) -> list[FoundModel]:
    """Return the models of a record with the library's current information about them."""
    return _find_models(stores, used_models(record))


def list_obstacles(stores: Stores, record: Mapping[str, Any], models: Sequence[FoundModel]) -> list[str]:
    """Return why the record cannot be run again, each in a sentence; empty if it can.

    ``models`` is what ``find_models`` returned for it.
    """
    recipe = find_recipe(stores, record["site"]["name"])
    if recipe is None:
        return [f"site: there is no site {record['site']['name']!r} here any more."]
    obstacles = []
    for found, was_present in zip(models, record.get(IN_LIBRARY, ()), strict=False):
        if was_present and found.presence is Presence.MISSING:
            obstacles.append(f"models: {found.used.kind} {found.used.name!r} is no longer in the library.")
        elif was_present and found.presence is Presence.CHANGED:
            obstacles.append(f"models: the file of {found.used.kind} {found.used.name!r} has different content now.")
    kept = record.get(KEPT_INPUTS, {})
    obstacles += [
        f"{name}: the picture of this input was not kept." for name in input_pictures(record) if name not in kept
    ]
    return obstacles


def rerun(
    stores: Stores, caller: Caller, record: Mapping[str, Any], *, request_id: str, idempotency_key: str | None = None
) -> AcceptedJob:
    """Submit a new job with the inputs of a record.

    Raises:
        Conflict: the site, a model or the picture of an input is gone, or the site does not take the inputs any more;
            ``details`` has the ``reasons``.
        LimitReached, PaymentRequired, Unavailable and others: as ``stores.jobs.submission.submit``.
    """
    models = find_models(stores, record)
    obstacles = list_obstacles(stores, record, models)
    if obstacles:
        raise _not_repeatable(obstacles)
    try:
        request = build_request(stores, record, models)
        return submission.submit(stores, caller, request, request_id=request_id, idempotency_key=idempotency_key)
    except Invalid as error:
        raise _not_repeatable(error.problems) from error
    except Forbidden as error:
        raise _not_repeatable([f"site: {error.message}"]) from error


def build_request(stores: Stores, record: Mapping[str, Any], models: Sequence[FoundModel]) -> JobRequest:
    """Return the request that repeats a record: with the pictures that were kept, and a LoRA under its present name.

    ``models`` is what ``find_models`` returned for the record.

    Raises:
        Invalid: a picture is gone.
    """
    pictures = {}
    for name, asset_name in record.get(KEPT_INPUTS, {}).items():
        try:
            asset = stores.gallery.assets.find(asset_name)
            pictures[name] = ImageSource.from_bytes(stores.media.get(asset.media_key))
        except NotFound as error:
            raise Invalid(problems=[f"{name}: the picture of this input is gone."]) from error
    return repeat_request(record, pictures, _present_lora(record, models))


def _not_repeatable(reasons: list[str]) -> Conflict:
    return Conflict(f"This cannot be made again: {' '.join(reasons)}", reasons=reasons)


def _present_lora(record: Mapping[str, Any], models: Sequence[FoundModel]) -> str | None:
    """Return the LoRA's name for the site: of a file that was renamed, the new name."""
    name = record.get("lora")
    if name is None:
        return None
    key = UsedModel("lora", name).key
    found = next((each for each in models if each.used.key == key), None)
    is_renamed = found and found.used.hashes and found.file and model_stem(name) != found.file.stem
    return found.file.stem if found and found.file and is_renamed else str(name)


def find_recipe(stores: Stores, site: str) -> Recipe | None:
    """Return the recipe of a site; None if there is none."""
    return next((recipe for recipe in stores.recipes.list_all() if recipe.name == site), None)


def _find_models(stores: Stores, used: Sequence[UsedModel]) -> list[FoundModel]:
    """Look models up: each by its hashes, else by its name. The number of statements does not grow with theirs."""
    if not used or not stores.has_library:
        return [FoundModel(each, Presence.UNKNOWN) for each in used]
    try:
        by_hashes = _find_by_hashes(stores, used)
        missing = [each for each, found in zip(used, by_hashes, strict=True) if found is None]
        by_name = stores.library.models.find_by_names({key for each in missing for key in _name_keys(each)})
    except Unavailable as error:
        log.warning("provenance.library_unavailable", error=str(error))
        return [FoundModel(each, Presence.UNKNOWN) for each in used]
    return [found or _find_by_name(each, by_name) for each, found in zip(used, by_hashes, strict=True)]


def _find_by_hashes(stores: Stores, used: Sequence[UsedModel]) -> list[FoundModel | None]:
    """Return for each model the one of the library that has a file of its hashes."""
    ids = stores.library.file_hashes.find_models_of_all({value for each in used for value in each.hashes.values()})
    all_ids = sorted({id_ for some in ids.values() for id_ in some})
    models = {model.id: model for model in stores.library.models.get_many(all_ids, with_versions=True)}

    def find(each: UsedModel) -> FoundModel | None:
        for id_ in dict.fromkeys(id_ for value in each.hashes.values() for id_ in ids[value]):
            if (model := models.get(id_)) and (file := _file_of_hashes(model, each.hashes)):
                return FoundModel(each, Presence.PRESENT, model.id, file)
        return None

    return list(map(find, used))


def _name_keys(used: UsedModel) -> list[tuple[str, str]]:
    """Return the names under which the library may have a model, with its category there."""
    category = CATEGORIES.get(used.kind)
    return [] if category is None else [(used.name, category), (model_stem(used.name), category)]


def _find_by_name(used: UsedModel, by_name: Mapping[tuple[str, str], Sequence[ModelView]]) -> FoundModel:
    models: Sequence[ModelView] = next((by_name[key] for key in _name_keys(used) if by_name[key]), ())
    for model in models:
        if file := _file_of_name(model, used.name):
            # A file that waits to be hashed may be the same.
            is_other = bool(used.hashes) and file.is_hashed
            return FoundModel(used, Presence.CHANGED if is_other else Presence.PRESENT, model.id, file)
    return FoundModel(used, Presence.MISSING)


def _present_files(model: ModelView) -> Iterable[FileView]:
    return (file for version in model.versions for file in version.files if file.is_present)


def _file_of_hashes(model: ModelView, hashes: Mapping[str, str]) -> FileView | None:
    def has(file: FileView) -> bool:
        known = [value.lower() for value in file.hashes.values()]
        return any(value.startswith(digits) for value in known for digits in hashes.values())

    return next((file for file in _present_files(model) if has(file)), None)


def _file_of_name(model: ModelView, name: str) -> FileView | None:
    files = list(_present_files(model))
    of_stem = (file for file in files if file.stem.lower() == model_stem(name).lower())
    return next(of_stem, files[0] if files else None)


def _with_hashes(found: FoundModel) -> UsedModel:
    """Add the hashes of the library's file; those of the picture stay."""
    if found.presence is not Presence.PRESENT or found.file is None:
        return found.used
    return replace(found.used, hashes={**found.file.hashes, **found.used.hashes})


def _keep_inputs(stores: Stores, job: Job) -> dict[str, Asset]:
    """Copy the pictures of a job's inputs to objects that do not expire; leave out what has expired already."""
    kept = {}
    for name, value in job.request.inputs.items():
        if not isinstance(value, Mapping):
            continue
        image = InputImage.from_json(value)
        extension = formats.BY_MEDIA_TYPE[image.type].extension
        key = f"{INPUTS_PREFIX}/{image.sha256}.{extension}"
        stores.gallery.assets.hold([key])
        try:
            stores.media.copy(image.media_key(job.id, name), key)
        except NotFound:
            continue
        asset_name = new_asset_name(extension)
        kept[to_camel_case(name)] = Asset(asset_name, key, image.type, image.sha256, image.size_bytes)
    return kept
