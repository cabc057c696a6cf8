"""Routes for archives of collections: export as a zip, and import of one."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from flask import Response, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge

from api.gallery.documents.responses import ImportedCollection
from api.gallery.lookups import EDIT, READ, find_collection
from api.gallery.serializers import collection_view
from api.http.blueprint import Blueprint
from api.http.context import caller, optional_caller, stores
from api.http.request_bodies import body_errors
from api.http.route_policy import Access, RoutePolicy
from schemas.errors import Invalid, Unavailable
from schemas.gallery.documents.archive import MAX_ARCHIVE_BYTES
from stores.backup.collection_export import CollectionExport
from stores.backup.collection_import import import_collection
from stores.backup.import_turn import ImportTurn, take_import_turn
from stores.environment.disk_space import MIN_FREE_BYTES

CHUNK_BYTES = 256 * 1024
RETRY_AFTER_S = 30
ZIP = "application/zip"
BINARY = {"type": "string", "format": "binary"}
PRIVATE = {
    "in": "query",
    "name": "private",
    "schema": {"type": "string"},
    "description": "`omit`: without private prompts.",
    "example": "omit",
}

blueprint = Blueprint(
    "gallery_archives", __name__, access=Access.KEY, description="The gallery: archives of collections."
)


@blueprint.route("/collections/<slug>/export", policy=READ)
@blueprint.doc(parameters=[PRIVATE])
@blueprint.response(200, BINARY, description="A zip: pictures, metadata, provenance, and a page.", content_type=ZIP)
@blueprint.alt_response(409, description="The collection is too large for one archive.")
def export(slug: str) -> Response:
    """A collection with all its pictures. `index.html` in it shows them from disk.

    Private prompts are in it if you are the owner, but not on the page; `private=omit` leaves them out.
    """
    collection, reader = find_collection(slug), optional_caller()
    is_owner = reader is not None and reader.id == collection.owner
    as_owner = is_owner and request.args.get("private") != "omit"
    content = CollectionExport(stores(), collection, as_owner=as_owner).read()
    headers = {"Content-Disposition": f'attachment; filename="{collection.slug}.zip"', "Cache-Control": "no-store"}
    return Response(content, mimetype=ZIP, headers=headers)


@blueprint.route("/import", methods=["POST"], policy=RoutePolicy(scope=EDIT.scope, streams_body=True))
@blueprint.doc(requestBody={"required": True, "content": {ZIP: {"schema": {"type": "string", "format": "binary"}}}})
@blueprint.response(201, ImportedCollection)
@blueprint.alt_response(429, description="Too many requests, or another of your imports is running.")
def import_() -> Response:
    """Make a collection of yours from an exported one. Its tokens get new ids, and its slug may be another.

    A picture that is not accepted is a problem of its token, which then has none. Anything else that is wrong is an
    error, and nothing is stored. One import of yours runs at a time.
    """
    with take_import_turn(stores().redis, caller().id) as turn, _received_archive(turn) as file:
        result = import_collection(stores(), caller().id, file, turn.keep)
    view = {"collection": collection_view(result.collection), "tokens": result.tokens, "problems": result.problems}
    response = jsonify(view)
    response.status_code = 201
    return response


@contextmanager
def _received_archive(turn: ImportTurn) -> Iterator[IO[bytes]]:
    """Write the body to a temporary file, chunk by chunk, as long as the disk has room."""
    request.max_content_length = MAX_ARCHIVE_BYTES
    if (request.content_length or 0) > MAX_ARCHIVE_BYTES:
        raise RequestEntityTooLarge(f"The archive is larger than {MAX_ARCHIVE_BYTES // 1024**3} GiB.")
    if stores().disk.free_bytes() < (request.content_length or 0) + MIN_FREE_BYTES:
        raise Unavailable("The disk has no space for the archive; free some space first.", retry_after_s=RETRY_AFTER_S)
    with tempfile.TemporaryFile(dir=stores().settings.data_dir) as file:
        while chunk := _read_chunk():
            turn.keep()
            if problem := stores().disk.problem():
                raise Unavailable(problem, retry_after_s=RETRY_AFTER_S)
            _write(file, chunk)
        if not file.tell():
            raise Invalid(problems=["The body is empty: send the bytes of a zip, as 'application/zip'."])
        file.seek(0)
        yield file


def _read_chunk() -> bytes:
    with body_errors():
        return request.stream.read(CHUNK_BYTES)


def _write(file: IO[bytes], chunk: bytes) -> None:
    try:
        file.write(chunk)
        file.flush()
    except OSError as error:
        raise Unavailable("The disk for imports is full or broken.", retry_after_s=RETRY_AFTER_S) from error
