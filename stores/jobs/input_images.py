"""The pictures of jobs' inputs, and uploads that may become one.

Each picture is an object of its own in the media store, below the id of the job or upload that it belongs to. It is
kept as long as that record exists: jobs keep theirs through waiting, retries and ``RESULT_TTL_S`` after their end.
"""

import functools
import json
import math
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import IO, Any, cast

import structlog
from redis import Redis

from ops.infra.clock import Clock
from schemas.accounts.caller import ANONYMOUS
from schemas.errors import Gone, InputMissing, Invalid, LimitReached, NotFound, ServiceError
from schemas.fields import to_camel_case
from schemas.images.input_images import INPUTS_PREFIX, ImageSource, InputFile, InputImage
from schemas.images.inspected_image import UPLOADS_PREFIX
from schemas.jobs.job import Job
from schemas.jobs.lifecycle import JobState
from schemas.sites.recipe import InputSpec, Recipe
from stores.jobs.jobs import NO_SUCH_JOB, Jobs
from stores.jobs.results import Results
from stores.library.image_inspections import INSPECTION_TIMEOUT_S, ImageInspections
from stores.media import Media
from stores.redis.keys import job_key, upload_key, uploads_key

UPLOAD_TTL_S = 3600
# Of one caller at a time; the ones that are still being examined count too.
MAX_UPLOADS = 100
UPLOAD_NAME = "upload"
# A picture is stored moments before its record. The margin covers slow requests and clocks that differ.
ORPHAN_AGE_S = 900

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded picture that jobs of its owner may use until it expires (Unix ms)."""

    id: str
    owner: str
    expires_at: int
    image: InputImage


class InputImages:
    """The pictures of all inputs and uploads."""

    def __init__(
        self,
        client: Redis,
        clock: Clock,
        *,
        media: Media,
        inspections: ImageInspections,
        jobs: Jobs,
        results: Results,
        records: Sequence[Redis] = (),
    ) -> None:
        """``records`` are all servers whose jobs have pictures in this media store, if there are more than one."""
        self._redis = client
        self._records = records or (client,)
        self._media = media
        self._inspections = inspections
        self._jobs = jobs
        self._results = results
        self._clock = clock

    # Uploads

    def upload(self, owner: str, file: IO[bytes]) -> Upload:
        """Examine and keep a picture.

        Raises:
            Invalid: it is not an acceptable picture.
            LimitReached: the owner has ``MAX_UPLOADS`` already.
            Unavailable: the media store is down, or no background process examines it in time.
        """
        upload_id = secrets.token_hex(16)
        expires_at = self._clock.now_ms() + UPLOAD_TTL_S * 1000
        self._reserve(owner, upload_id, expires_at)
        try:
            image = self._store_file(file, upload_id, UPLOAD_NAME)
            upload = Upload(upload_id, owner, expires_at, image)
            self._redis.set(upload_key(upload_id), json.dumps(asdict(upload)), ex=UPLOAD_TTL_S)
        except BaseException:
            self._redis.zrem(uploads_key(owner), upload_id)
            raise
        return upload

    def _reserve(self, owner: str, upload_id: str, expires_at: int) -> None:
        """Count an upload among those of its owner, from before it is examined until it expires."""
        key, now_ms = uploads_key(owner), self._clock.now_ms()
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.zremrangebyscore(key, "-inf", now_ms)
            pipeline.zadd(key, {upload_id: expires_at})
            pipeline.expire(key, UPLOAD_TTL_S)
            pipeline.zcard(key)
            pipeline.zrange(key, 0, 0, withscores=True)
            *_, count, [(_, first_expiry)] = pipeline.execute()
        if count > MAX_UPLOADS:
            self._redis.zrem(key, upload_id)
            retry_after_s = max(1, math.ceil((first_expiry - now_ms) / 1000))
            raise LimitReached(
                f"You have {MAX_UPLOADS} uploads, the maximum for one key. Delete those that you no longer "
                "need; each expires after an hour.",
                retry_after_s=retry_after_s,
                policy="uploads",
                limit=MAX_UPLOADS,
            )

    def get_upload(self, owner: str, upload_id: str) -> Upload:
        """Return an upload; raises NotFound if it does not exist, has expired or belongs to another caller."""
        record = cast(bytes | None, self._redis.get(upload_key(upload_id)))
        fields = json.loads(record) if record else {}
        if fields.get("owner") != owner:
            raise NotFound("There is no upload with this id; uploads expire after an hour.")
        return Upload(**{**fields, "image": InputImage(**fields["image"])})

    def delete_upload(self, owner: str, upload_id: str) -> None:
        """Delete an upload; jobs that use it keep their own copy. Raises as ``get_upload``."""
        upload = self.get_upload(owner, upload_id)
        self._redis.delete(upload_key(upload_id))
        self._redis.zrem(uploads_key(owner), upload_id)
        self._media.delete(upload.image.media_key(upload_id, UPLOAD_NAME))

    # Inputs of jobs

    def attach(self, job_id: str, owner: str, recipe: Recipe, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Store the pictures of a job that is about to be created; return its inputs with their descriptions.

        Raises:
            Invalid: a picture does not exist, is not acceptable or has the wrong size; nothing is stored then.
            Unavailable: as ``upload``.
        """
        images: dict[str, InputImage] = {}
        try:
            for name, value in inputs.items():
                if isinstance(value, ImageSource):
                    with _at(name):
                        images[name] = self._attach_one(job_id, owner, name, value, recipe.inputs[name])
            _check_sizes(recipe, images)
        except ServiceError:
            self.discard(job_id, images)
            raise
        return {**inputs, **{name: image.to_json() for name, image in images.items()}}

    def discard(self, job_id: str, images: Mapping[str, Any]) -> None:
        """Delete pictures of a job that was not created; ``images`` may be records or their JSON, and other inputs."""
        for name, value in images.items():
            image = InputImage.from_json(value) if isinstance(value, Mapping) else value
            if isinstance(image, InputImage):
                self._media.delete(image.media_key(job_id, name))

    def load(self, job: Job, recipe: Recipe) -> dict[str, InputFile]:
        """Return the pictures of a job's inputs for a page.

        Raises:
            InputMissing: a picture is not in the media store.
        """
        files = {}
        for name in recipe.image_inputs.keys() & job.request.inputs.keys():
            image = InputImage.from_json(job.request.inputs[name])
            try:
                files[name] = InputFile.of(image, self._media.get(image.media_key(job.id, name)))
            except NotFound as error:
                raise InputMissing(f"The picture of the input {name!r} is not in the media store.") from error
        return files

    def get_picture(self, job: Job, name: str) -> InputFile:
        """Return the picture of one input of a job.

        Raises:
            NotFound: the job has no picture at that input.
            Gone: it is no longer kept.
        """
        image = find_picture(job, name)
        with _gone_if_missing():
            return InputFile.of(image, self._media.get(image.media_key(job.id, name)))

    def delete_orphans(self) -> int:
        """Delete the pictures of jobs and uploads that have expired; return their number."""
        deleted = 0
        for keys in self._media.list_older_than(INPUTS_PREFIX, self._clock.now_ms() - ORPHAN_AGE_S * 1000):
            alive = self._existing_owners({_owner_of(key) for key in keys})
            for key in keys:
                if _owner_of(key) not in alive:
                    self._media.delete(key)
                    deleted += 1
        if deleted:
            log.info("inputs.swept", objects=deleted)
        return deleted

    def _attach_one(self, job_id: str, owner: str, name: str, source: ImageSource, spec: InputSpec) -> InputImage:
        if source.upload_id or source.input_name:
            image, key = self._find_examined(owner, source)
            if not source.is_alpha_mask:
                _require_accepted(image, spec)
                with _gone_if_missing():
                    self._media.copy(key, image.media_key(job_id, name))
                return image
            with _gone_if_missing():
                data = self._media.get(key)
        elif source.job_id:
            data = self._result_of_own_job(owner, source)
        elif source.file is not None:
            return self._store_file(source.file, job_id, name, spec, is_alpha_mask=source.is_alpha_mask)
        else:
            raise Invalid("A picture without content.")
        put = functools.partial(self._media.put, data=data)
        return self._store(put, job_id, name, spec, is_alpha_mask=source.is_alpha_mask)

    def _find_examined(self, owner: str, source: ImageSource) -> tuple[InputImage, str]:
        """Return the record and the media key of an upload, or of the picture of an input."""
        if source.upload_id:
            upload = self.get_upload(owner, source.upload_id)
            return upload.image, upload.image.media_key(upload.id, UPLOAD_NAME)
        if owner == ANONYMOUS:
            # Callers without a key are not told apart, and ids of jobs are in the addresses of their pictures.
            raise NotFound(NO_SUCH_JOB)
        job = self._own_job(owner, source.job_id)
        image = find_picture(job, source.input_name)
        return image, image.media_key(job.id, source.input_name)

    def _own_job(self, owner: str, job_id: str) -> Job:
        job = self._jobs.get(job_id)
        if job.owner != owner:
            raise NotFound(NO_SUCH_JOB)
        return job

    def _result_of_own_job(self, owner: str, source: ImageSource) -> bytes:
        job = self._own_job(owner, source.job_id)
        if job.state is not JobState.COMPLETED:
            raise Invalid(f"The job {job.id} is {job.state} and has no picture.")
        if source.number > len(job.results):
            raise Invalid(f"The job {job.id} has {len(job.results)} pictures and none with number {source.number}.")
        data = self._results.get_original(job.id, source.number)
        if data is None:
            raise Gone("Image expired; it is no longer kept.")
        return data

    def _store_file(
        self,
        file: IO[bytes],
        owner_id: str,
        name: str,
        spec: InputSpec | None = None,
        *,
        is_alpha_mask: bool = False,
    ) -> InputImage:
        put = functools.partial(self._media.put_file, file=file)
        return self._store(put, owner_id, name, spec, is_alpha_mask=is_alpha_mask)

    def _store(
        self,
        put: Callable[[str], None],
        owner_id: str,
        name: str,
        spec: InputSpec | None,
        *,
        is_alpha_mask: bool = False,
    ) -> InputImage:
        """Have a picture examined as uploads are, and keep it below ``owner_id``."""
        key = f"{UPLOADS_PREFIX}/{secrets.token_hex(16)}"
        put(key)
        stored = self._inspections.inspect(key, INSPECTION_TIMEOUT_S, is_alpha_mask=is_alpha_mask)
        image = InputImage(stored.type, stored.width, stored.height, stored.size_bytes, stored.sha256)
        try:
            if spec:
                _require_accepted(image, spec)
            self._media.copy(stored.key, image.media_key(owner_id, name))
        finally:
            # The inspection keeps accepted pictures for the library.
            for unused in (stored.key, stored.thumb_key):
                self._media.delete(unused)
        return image

    def _existing_owners(self, ids: Iterable[str]) -> set[str]:
        ordered, existing = sorted(ids), set[str]()
        for client in self._records:
            pipeline = client.pipeline(transaction=False)
            for owner_id in ordered:
                pipeline.exists(job_key(owner_id, "job"), upload_key(owner_id))
            existing |= {owner_id for owner_id, found in zip(ordered, pipeline.execute(), strict=True) if found}
        return existing


def find_picture(job: Job, name: str) -> InputImage:
    """Return the record of the picture of an input; raises NotFound if the job has none there."""
    value = job.request.inputs.get(name)
    if not isinstance(value, Mapping):
        raise NotFound(f"The job {job.id} has no picture at the input {to_camel_case(name)!r}.")
    return InputImage.from_json(value)


@contextmanager
def _gone_if_missing() -> Iterator[None]:
    """Report a missing object as a picture that the client has to send again."""
    try:
        yield
    except NotFound as error:
        raise Gone("This picture is no longer kept: send it again.") from error


@contextmanager
def _at(name: str) -> Iterator[None]:
    """Report errors about a picture as problems of the input ``name``."""
    try:
        yield
    except (Invalid, NotFound, Gone) as error:
        details = {"reason": error.details["reason"]} if "reason" in error.details else {}
        raise Invalid(problems=[f"{to_camel_case(name)}: {error.message}"], **details) from error


def _require_accepted(image: InputImage, spec: InputSpec) -> None:
    if spec.accept and image.type not in spec.accept:
        raise Invalid(f"The picture is {image.type}; the page takes {', '.join(spec.accept)}.")


def _check_sizes(recipe: Recipe, images: Mapping[str, InputImage]) -> None:
    """Require a mask or the like to have the size of the picture that it belongs to."""
    problems = []
    for name, image in images.items():
        other_name = recipe.inputs[name].same_size_as
        if not other_name:
            continue
        other = images.get(other_name)
        if other is None:
            problems.append(f"{to_camel_case(name)}: Needs the input {to_camel_case(other_name)!r} as well.")
        elif (image.width, image.height) != (other.width, other.height):
            problems.append(
                f"{to_camel_case(name)}: Has {image.width}x{image.height} pixels; "
                f"{to_camel_case(other_name)} has {other.width}x{other.height}, and both must have the same size."
            )
    if problems:
        raise Invalid(problems=problems)


def _owner_of(key: str) -> str:
    return key.split("/")[1]
