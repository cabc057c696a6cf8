"""The taking of uploaded files: a form that is read from the wire to the disk, counted, never held whole."""

import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Event, Field, File, MultipartDecoder, NeedData, State

from api.http.context import stores
from api.http.request_bodies import body_errors
from schemas.errors import Invalid
from schemas.images.inspected_image import MOST_BYTES, UPLOADS, Examined

PIECE_BYTES = 64 * 1024
# What may stand in memory at once of a part's head, or before the first part.
MOST_BUFFER_BYTES = 256 * 1024
MOST_FIELDS = 50
MOST_FIELD_BYTES = 100_000
LONG_FIELDS: Mapping[str, int] = {"comfyWorkflow": 8_000_000}
MOST_FORM_BYTES = 10_000_000
# The courier's limit for one look, and some time in the queue.
PATIENCE_S = 40.0


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came in, on this machine's disk until the request ends, and the form's other fields."""

    file: IO[bytes] = field(repr=False)
    size_bytes: int
    fields: Mapping[str, str] = field(repr=False)


@contextmanager
def receive(name: str = "file", *, most_bytes: int = MOST_BYTES) -> Iterator[Upload]:
    """The one file of this request's form, under ``name``, and its fields; the file is gone afterwards.

    Raises:
        Invalid: the body is no such form, or a field is too long, or one comes twice.
        RequestEntityTooLarge: the file is larger than ``most_bytes``.
    """
    most_body_bytes = most_bytes + MOST_FORM_BYTES
    request.max_content_length = most_body_bytes
    if (request.content_length or 0) > most_body_bytes:
        raise _too_large(most_bytes)
    with tempfile.TemporaryFile(dir=stores().settings.data_dir) as file:
        form = _Form(name, file, most_bytes)
        for event in _events(_boundary(), most_bytes):
            form.take(event)
        yield form.upload()


def examine(upload: Upload) -> Examined:
    """What a courier finds out about the uploaded picture, which is in the media store from then on.

    Raises:
        Invalid: it is no picture that is taken; ``details["reason"]`` says why in a word.
        Unavailable: no courier answers in time, or the media store does not serve.
    """
    return _examined(lambda key: stores().media.put_file(key, upload.file))


def examine_bytes(picture: bytes) -> Examined:
    """The same of a picture that is here already; raises as ``examine``."""
    return _examined(lambda key: stores().media.put(key, picture))


def _examined(put: Callable[[str], None]) -> Examined:
    key = f"{UPLOADS}/{secrets.token_hex(16)}"
    put(key)
    return stores().examinations.ask(key, PATIENCE_S)


class _Form:
    """The parts of a form, in the order in which they come."""

    def __init__(self, name: str, file: IO[bytes], most_bytes: int) -> None:
        self._name = name
        self._file = file
        self._most_bytes = most_bytes
        self._size_bytes = 0
        self._has_file = False
        self._fields: dict[str, bytearray] = {}
        self._form_bytes = 0
        # The field that is being read; None for the file.
        self._current: str | None = None

    def take(self, event: Event) -> None:
        """One part's beginning, or a piece of it."""
        if isinstance(event, File):
            self._begin_file(event)
        elif isinstance(event, Field):
            self._begin_field(event)
        elif isinstance(event, Data) and self._current is None:
            self._write(event.data)
        elif isinstance(event, Data):
            self._add(event.data)

    def upload(self) -> Upload:
        """What has come in; raises Invalid where there is no file, or a field is no text."""
        if not self._has_file:
            raise _invalid(f"{self._name}: missing. Send one file in the field {self._name!r}.")
        self._file.flush()
        self._file.seek(0)
        return Upload(self._file, self._size_bytes, {name: _text(name, raw) for name, raw in self._fields.items()})

    def _begin_file(self, part: File) -> None:
        if part.name != self._name:
            raise _invalid(f"{part.name}: not a field for files. Send one file in the field {self._name!r}.")
        if self._has_file:
            raise _invalid(f"{self._name}: given twice. Send one file at a time.")
        # So do browsers say that nothing was chosen.
        self._has_file = bool(part.filename)
        self._current = None

    def _begin_field(self, part: Field) -> None:
        if not isinstance(part.name, str) or part.name == self._name:
            raise _invalid(f"{part.name or 'a part'}: a part without a name, or a file without a file name.")
        if part.name in self._fields:
            raise _invalid(f"{part.name[:100]}: given twice.")
        if len(self._fields) >= MOST_FIELDS:
            raise _invalid(f"The form has more than {MOST_FIELDS} fields.")
        self._fields[part.name] = bytearray()
        self._current = part.name

    def _write(self, data: bytes) -> None:
        if not self._has_file:
            return
        self._size_bytes += len(data)
        if self._size_bytes > self._most_bytes:
            raise _too_large(self._most_bytes)
        self._file.write(data)

    def _add(self, data: bytes) -> None:
        name = self._current or ""
        text = self._fields[name]
        text += data
        self._form_bytes += len(data)
        most_bytes = LONG_FIELDS.get(name, MOST_FIELD_BYTES)
        if len(text) > most_bytes:
            raise _invalid(f"{name[:100]}: longer than {most_bytes:,} bytes.")
        if self._form_bytes > MOST_FORM_BYTES:
            raise _invalid(f"The form's fields have more than {MOST_FORM_BYTES:,} bytes together.")


def _boundary() -> bytes:
    boundary = request.mimetype_params.get("boundary", "")
    if request.mimetype != "multipart/form-data" or not boundary:
        raise _invalid("The body is not multipart/form-data with a boundary.")
    return boundary.encode()


def _events(boundary: bytes, most_bytes: int) -> Iterator[Event]:
    """The form as it comes off the wire; raises Invalid where it is none."""
    decoder = MultipartDecoder(boundary, MOST_BUFFER_BYTES)
    while decoder.state is not State.EPILOGUE:
        yield from _decoded(decoder, _piece(most_bytes))


def _piece(most_bytes: int) -> bytes | None:
    """The next bytes of the body; None at its end."""
    try:
        with body_errors():
            return request.stream.read(PIECE_BYTES) or None
    except RequestEntityTooLarge as error:
        raise _too_large(most_bytes) from error


def _decoded(decoder: MultipartDecoder, data: bytes | None) -> list[Event]:
    events = []
    try:
        decoder.receive_data(data)
        while decoder.state is not State.EPILOGUE and not isinstance(event := decoder.next_event(), NeedData):
            events.append(event)
    except (ValueError, RequestEntityTooLarge) as error:
        raise _invalid("The form ended too early or is badly framed.") from error
    return events


def _text(name: str, raw: bytearray) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise _invalid(f"{name[:100]}: not valid UTF-8.") from error


def _invalid(problem: str) -> Invalid:
    return Invalid(problems=[problem])


def _too_large(most_bytes: int) -> RequestEntityTooLarge:
    return RequestEntityTooLarge(f"The file is larger than {most_bytes // (1024 * 1024)} MiB.")
