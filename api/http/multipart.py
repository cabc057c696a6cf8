"""Uploads: streams the files of a multipart form to disk, and enforces limits while the form arrives.

Werkzeug's decoder does the parsing. Its form parser is not used, because that checks sizes of fields only against one
limit for all, and cannot reject a file by the name of its field before the file is on disk.
"""

import hashlib
import io
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import IO

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Event, Field, File, MultipartDecoder, NeedData, State

from api.http.context import stores
from api.http.request_bodies import body_errors
from schemas.errors import Invalid
from schemas.images.inspected_image import MAX_IMAGE_BYTES, UPLOADS_PREFIX, StoredImage
from stores.library.image_inspections import INSPECTION_TIMEOUT_S

CHUNK_BYTES = 64 * 1024
LIST_SUFFIX = "[]"
# Headers of one part, or a preamble before the first part.
MAX_BUFFER_BYTES = 256 * 1024
MAX_FIELDS = 50
MAX_FIELD_BYTES = 100_000
MAX_BYTES_BY_FIELD: Mapping[str, int] = {"comfyWorkflow": 8_000_000}
MAX_FORM_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file, in a temporary file that lives as long as the request, and the form's other fields."""

    file: IO[bytes] = field(repr=False)
    size_bytes: int
    fields: Mapping[str, str] = field(repr=False)


@contextmanager
def receive_upload(field_name: str = "file", *, max_bytes: int = MAX_IMAGE_BYTES) -> Iterator[Upload]:
    """Receive the request's form, whose only file is in ``field_name``; the temporary file is deleted on exit.

    Raises:
        Invalid: the body is not such a form, or a field is too long or given twice.
        RequestEntityTooLarge: the file is larger than ``max_bytes``.
    """
    max_body_bytes = max_bytes + MAX_FORM_BYTES
    request.max_content_length = max_body_bytes
    if (request.content_length or 0) > max_body_bytes:
        raise _too_large(max_bytes)
    with tempfile.TemporaryFile(dir=stores().settings.data_dir) as file:
        form = _UploadForm(field_name, file, max_bytes)
        for event in _form_events(_boundary(), max_bytes):
            form.feed(event)
        yield form.upload()


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A file of a form, in a temporary file that lives as long as the request, and its SHA-256."""

    file: IO[bytes] = field(repr=False)
    sha256: str


@dataclass(frozen=True, slots=True)
class ReceivedForm:
    """The files and the other fields of a form, by their names."""

    files: Mapping[str, ReceivedFile]
    fields: Mapping[str, str] = field(repr=False)


@contextmanager
def receive_files(max_files: int, *, max_bytes: int = MAX_IMAGE_BYTES) -> Iterator[ReceivedForm]:
    """Receive the request's form with up to ``max_files`` files in fields of any name; raises as ``receive_upload``.

    A field ``NAME[]`` may have several files, which are then called ``NAME[0]``, ``NAME[1]``, ….
    """
    max_body_bytes = max_files * max_bytes + MAX_FORM_BYTES
    request.max_content_length = max_body_bytes
    if (request.content_length or 0) > max_body_bytes:
        raise RequestEntityTooLarge(f"The form is larger than {max_body_bytes // (1024 * 1024)} MiB.")
    with ExitStack() as stack:

        def open_file() -> IO[bytes]:
            return stack.enter_context(tempfile.TemporaryFile(dir=stores().settings.data_dir))

        form = _FilesForm(open_file, max_files, max_bytes)
        for event in _form_events(_boundary(), max_bytes):
            form.feed(event)
        yield form.received()


def inspect_upload(upload: Upload) -> StoredImage:
    """Store an uploaded image in the media store and have a background process inspect it.

    Raises:
        Invalid: it is not an acceptable image; ``details["reason"]`` is a code for the reason.
        Unavailable: no result in time, or the media store is down.
    """
    return _store_and_inspect(lambda key: stores().media.put_file(key, upload.file))


def inspect_bytes(image: bytes) -> StoredImage:
    """Store and inspect an image that is in memory already; raises as ``inspect_upload``."""
    return _store_and_inspect(lambda key: stores().media.put(key, image))


def _store_and_inspect(put: Callable[[str], None]) -> StoredImage:
    key = f"{UPLOADS_PREFIX}/{secrets.token_hex(16)}"
    put(key)
    return stores().image_inspections.inspect(key, INSPECTION_TIMEOUT_S)


class _UploadForm:
    """The form as received so far."""

    def __init__(self, field_name: str, file: IO[bytes], max_bytes: int) -> None:
        self._field_name = field_name
        self._file = file
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._has_file = False
        self._fields: dict[str, bytearray] = {}
        self._form_bytes = 0
        # The field whose data arrives; None for the file.
        self._current_field: str | None = None

    def feed(self, event: Event) -> None:
        """Process the start of a part, or some of its data."""
        if isinstance(event, File):
            self._begin_file(event)
        elif isinstance(event, Field):
            self._begin_field(event)
        elif isinstance(event, Data) and self._current_field is None:
            self._write_file(event.data)
        elif isinstance(event, Data):
            self._append_field(event.data)

    def upload(self) -> Upload:
        """Return the complete upload; raises Invalid if the file is missing or a field is not UTF-8."""
        if not self._has_file:
            raise _invalid(f"{self._field_name}: missing. Send one file in the field {self._field_name!r}.")
        self._file.flush()
        self._file.seek(0)
        return Upload(
            self._file, self._size_bytes, {name: _decode_field(name, raw) for name, raw in self._fields.items()}
        )

    def _begin_file(self, part: File) -> None:
        if part.name != self._field_name:
            raise _invalid(f"{part.name}: not a field for files. Send one file in the field {self._field_name!r}.")
        if self._has_file:
            raise _invalid(f"{self._field_name}: given twice. Send one file at a time.")
        # Browsers send an empty file name if the user has chosen no file.
        self._has_file = bool(part.filename)
        self._current_field = None

    def _begin_field(self, part: Field) -> None:
        if not isinstance(part.name, str) or part.name == self._field_name:
            raise _invalid(f"{part.name or 'a part'}: a part without a name, or a file without a file name.")
        if part.name in self._fields:
            raise _invalid(f"{part.name[:100]}: given twice.")
        if len(self._fields) >= MAX_FIELDS:
            raise _invalid(f"The form has more than {MAX_FIELDS} fields.")
        self._fields[part.name] = bytearray()
        self._current_field = part.name

    def _write_file(self, data: bytes) -> None:
        if not self._has_file:
            return
        self._size_bytes += len(data)
        if self._size_bytes > self._max_bytes:
            raise _too_large(self._max_bytes)
        self._file.write(data)

    def _append_field(self, data: bytes) -> None:
        name = self._current_field or ""
        text = self._fields[name]
        text += data
        self._form_bytes += len(data)
        max_bytes = MAX_BYTES_BY_FIELD.get(name, MAX_FIELD_BYTES)
        if len(text) > max_bytes:
            raise _invalid(f"{name[:100]}: longer than {max_bytes:,} bytes.")
        if self._form_bytes > MAX_FORM_BYTES:
            raise _invalid(f"The form's fields have more than {MAX_FORM_BYTES:,} bytes together.")


class _FilesForm(_UploadForm):
    """A form with several files as received so far."""

    def __init__(self, open_file: Callable[[], IO[bytes]], max_files: int, max_bytes: int) -> None:
        super().__init__("", io.BytesIO(), max_bytes)
        self._open_file = open_file
        self._max_files = max_files
        self._files: dict[str, IO[bytes]] = {}
        self._digests: dict[str, hashlib._Hash] = {}

    def received(self) -> ReceivedForm:
        """Return the complete form; raises Invalid if a field is not UTF-8."""
        fields = {name: _decode_field(name, raw) for name, raw in self._fields.items()}
        if twice := sorted(self._files.keys() & fields.keys()):
            raise _invalid(f"{twice[0][:100]}: given twice.")
        files = {name: ReceivedFile(file, self._digests[name].hexdigest()) for name, file in self._files.items()}
        for file in self._files.values():
            file.flush()
            file.seek(0)
        return ReceivedForm(files, fields)

    def _begin_file(self, part: File) -> None:
        self._current_field, self._size_bytes = None, 0
        # Browsers send an empty file name if the user has chosen no file.
        self._has_file = bool(part.filename)
        if not self._has_file:
            return
        if not part.name:
            raise _invalid("A file without the name of a field.")
        name = self._numbered(part.name)
        if name in self._files:
            raise _invalid(f"{name[:100]}: given twice.")
        if len(self._files) >= self._max_files:
            raise _invalid(f"The form has more than {self._max_files} files.")
        self._file = self._files[name] = self._open_file()
        self._digests[name] = self._digest = hashlib.sha256()

    def _numbered(self, name: str) -> str:
        """Return ``NAME[0]``, ``NAME[1]``, … for the files of a field ``NAME[]``, which may have several."""
        if not name.endswith(LIST_SUFFIX):
            return name
        base = name.removesuffix(LIST_SUFFIX)
        return f"{base}[{sum(other.startswith(f'{base}[') for other in self._files)}]"

    def _write_file(self, data: bytes) -> None:
        super()._write_file(data)
        if self._has_file:
            self._digest.update(data)


def _boundary() -> bytes:
    boundary = request.mimetype_params.get("boundary", "")
    if request.mimetype != "multipart/form-data" or not boundary:
        raise _invalid("The body is not multipart/form-data with a boundary.")
    return boundary.encode()


def _form_events(boundary: bytes, max_bytes: int) -> Iterator[Event]:
    """Yield the parts of the form as they arrive; raises Invalid if the framing is wrong."""
    decoder = MultipartDecoder(boundary, MAX_BUFFER_BYTES)
    while decoder.state is not State.EPILOGUE:
        yield from _decode(decoder, _read_chunk(max_bytes))


def _read_chunk(max_bytes: int) -> bytes | None:
    """Return the next bytes of the body; None at its end."""
    try:
        with body_errors():
            return request.stream.read(CHUNK_BYTES) or None
    except RequestEntityTooLarge as error:
        raise _too_large(max_bytes) from error


def _decode(decoder: MultipartDecoder, data: bytes | None) -> list[Event]:
    events = []
    try:
        decoder.receive_data(data)
        while decoder.state is not State.EPILOGUE and not isinstance(event := decoder.next_event(), NeedData):
            events.append(event)
    except (ValueError, RequestEntityTooLarge) as error:
        raise _invalid("The form ended early or is malformed.") from error
    return events


def _decode_field(name: str, raw: bytearray) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise _invalid(f"{name[:100]}: not valid UTF-8.") from error


def _invalid(problem: str) -> Invalid:
    return Invalid(problems=[problem])


def _too_large(max_bytes: int) -> RequestEntityTooLarge:
    return RequestEntityTooLarge(f"The file is larger than {max_bytes // (1024 * 1024)} MiB.")
