"""Stores the pictures of new tokens permanently: from a job, from the library, or from a file of the request."""

import os
import re
from typing import IO

from api.http.context import own_job, stores
from api.http.routing import JobIdConverter
from schemas.errors import Conflict, Gone, NotFound
from schemas.gallery.pictures import KeepMode, KeptPicture
from schemas.jobs.job import Job
from stores.jobs.jobs import NO_SUCH_JOB
from stores.library.safe_open import open_indexed


def keep_job_picture(job_id: str, number: int = 1, *, is_prompt_private: bool = False) -> tuple[Job, KeptPicture]:
    """Keep a picture of a completed job of the caller: its exact bytes, or without metadata if the prompt is private.

    Raises:
        NotFound: the caller has no such job.
        Conflict: it has not been completed.
        Gone: it has no picture of that number, or its pictures have expired.
        Invalid, Unavailable: as ``PictureRequests.keep_file``.
    """
    if not re.fullmatch(JobIdConverter.regex, job_id):
        raise NotFound(NO_SUCH_JOB)
    job, results = own_job(job_id), stores().results
    if not job.results:
        raise Conflict(f"The job is {job.state} and has no picture.")
    data = results.get_original(job.id, number) if number <= len(job.results) else None
    if data is None:
        raise Gone("The job has no picture with this number, or the picture has expired.")
    # Represents a video, or a picture that is too large to be decoded.
    poster = results.get_converted(job.id, "jpg") if number == 1 else results.get_preview(job.id)
    mode = KeepMode.CLEAN if is_prompt_private else KeepMode.EXACT
    return job, stores().gallery_media.pictures.keep_bytes(data, mode, poster)


def keep_library_image(image_id: int) -> KeptPicture:
    """Keep an image of the library, without its metadata.

    Raises:
        NotFound: there is no such image, or its file has gone.
        Invalid, Unavailable: as ``PictureRequests.keep_file``.
    """
    image, pictures = stores().library.images.get(image_id), stores().gallery_media.pictures
    if image.media_key:
        return pictures.keep_object(image.media_key, KeepMode.CLEAN)
    opened = open_indexed(image.root, image.path, stores().settings.models_dir)
    with opened, os.fdopen(os.dup(opened.fd), "rb") as file:
        return pictures.keep_file(file, KeepMode.CLEAN)


def keep_file(file: IO[bytes]) -> KeptPicture:
    """Keep an uploaded picture, without its metadata; raises as ``PictureRequests.keep_file``."""
    return stores().gallery_media.pictures.keep_file(file, KeepMode.CLEAN)
