"""Where the pictures of tokens come from: a job, the library, or a file of the request. The bytes are kept for good."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import IO

from api.http.context import caller, own_job, stores
from api.http.url_converters import JobIdConverter
from schemas.errors import Conflict, Forbidden, Gone, NotFound
from schemas.gallery.pictures import KeepMode, KeptPicture, icon_name, make_asset_stem
from schemas.gallery.tokens import MediaStatus
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
    # Stands for a video, or a picture that is too large to be decoded.
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


@contextmanager
def own_picture(token_id: str | None) -> Iterator[str | None]:
    """Yield a new name for the thumbnail of a token of the caller, for a profile or a collection; None for None.

    If the block fails, the name is released.

    Raises:
        NotFound: there is no such token.
        Forbidden: it is another caller's.
        Conflict: it has no picture yet.
    """
    if token_id is None:
        yield None
        return
    token, assets = stores().gallery.tokens.find(token_id), stores().gallery.assets
    if token.owner != caller().id:
        raise Forbidden("The token belongs to another caller.")
    if token.media.status is not MediaStatus.READY or token.media.thumb is None:
        raise Conflict("The token has no picture yet.")
    name = f"{make_asset_stem()}.webp"
    thumb, icon = assets.find(token.media.thumb), assets.find(icon_name(token.media.thumb))
    assets.add([replace(thumb, name=name), replace(icon, name=icon_name(name))])
    try:
        yield name
    except BaseException:
        assets.release([name])
        raise
