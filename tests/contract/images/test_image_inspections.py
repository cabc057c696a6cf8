"""Inspections of uploaded images: requested once, answered for all callers, ended by a timeout."""

import threading
from typing import Any

import pytest
from redis import Redis

from ops.infra.redis import SOCKET_TIMEOUT_S
from schemas.errors import Invalid, NotFound, ServiceError, Unavailable
from schemas.images.inspected_image import InspectedImage, StoredImage
from schemas.messages import INSPECT_IMAGE
from stores.library.image_inspections import ImageInspections
from stores.redis.request_reply import MAX_BLOCK_S, ReplyKeys, RequestReply
from tests.conftest import eventually

KEY = "uploads/0123abc"
STORED = StoredImage(
    type="image/png",
    width=64,
    height=48,
    animated=False,
    blurhash="L00000fQfQfQfQfQfQfQfQfQfQfQ",
    sha256="ab" * 32,
    size_bytes=1234,
    generation={"prompt": "ein Leuchtturm über Wellen"},
    key="library/0123abc.png",
    thumb_key="library/0123abc-thumb.webp",
)


class RecordingQueue:
    """A queue that only records what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, ...]] = []

    def send(self, *args: str) -> None:
        """Record a message."""
        self.sent.append(args)


@pytest.fixture
def messages() -> RecordingQueue:
    """The queue of inspection requests."""
    return RecordingQueue()


@pytest.fixture
def inspections(client: Redis, messages: RecordingQueue) -> ImageInspections:
    """The store under test."""
    return ImageInspections(client, messages)  # type: ignore[arg-type] # only its send is used


def test_one_answer_serves_all_callers(inspections: ImageInspections, messages: RecordingQueue) -> None:
    """Three callers cause one request and get its answer; a later caller gets it at once."""
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(inspections.inspect(KEY, 60))) for _ in range(3)]
    for thread in threads:
        thread.start()
    eventually(lambda: messages.sent)
    assert inspections.is_requested(KEY)
    inspections.answer(KEY, STORED)
    for thread in threads:
        thread.join(60)

    assert results == [STORED] * 3
    assert inspections.inspect(KEY, 0) == STORED
    assert messages.sent == [(INSPECT_IMAGE, KEY)]


@pytest.mark.parametrize(
    "error", [Invalid("Too many frames.", reason="too_many_frames"), NotFound("Gone."), Unavailable("Away.")]
)
def test_an_error_is_an_answer(inspections: ImageInspections, error: ServiceError) -> None:
    """It keeps its message and its details."""
    inspections.answer(KEY, error)

    with pytest.raises(type(error)) as caught:
        inspections.inspect(KEY, 5)
    assert (caught.value.message, caught.value.details) == (error.message, error.details)


def test_without_workers_a_caller_times_out(inspections: ImageInspections, messages: RecordingQueue) -> None:
    """The error says when to retry, and the request was sent once."""
    with pytest.raises(Unavailable) as caught:
        inspections.inspect(KEY, 0.05)

    assert caught.value.retry_after_s
    assert messages.sent == [(INSPECT_IMAGE, KEY)]


def test_an_inspection_is_requested_while_a_caller_waits(inspections: ImageInspections, client: Redis) -> None:
    """It is not before the first call, after the answer, or long after a timeout."""
    assert not inspections.is_requested(KEY)
    with pytest.raises(Unavailable):
        inspections.inspect(KEY, 0.05)
    assert inspections.is_requested(KEY)
    assert 0 < client.ttl(f"dr:examination:{KEY}:asked") <= 2
    inspections.answer(KEY, STORED)
    assert not inspections.is_requested(KEY)


def test_the_ready_mark_of_an_expired_answer_is_ignored(
    inspections: ImageInspections, client: Redis, messages: RecordingQueue
) -> None:
    """A new caller waits for a new answer."""
    inspections.answer(KEY, Unavailable("Away."))
    client.delete(f"dr:examination:{KEY}")
    assert client.exists(f"dr:examination:{KEY}:ready")
    with pytest.raises(Unavailable, match="timed out"):
        inspections.inspect(KEY, 0.05)

    assert messages.sent == [(INSPECT_IMAGE, KEY)]
    assert not client.exists(f"dr:examination:{KEY}:ready")


def test_a_wait_may_be_longer_than_the_socket_timeout(
    inspections: ImageInspections, messages: RecordingQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait consists of blocking commands that each end before that timeout."""
    assert MAX_BLOCK_S < SOCKET_TIMEOUT_S
    rounds: list[float] = []
    pop = RequestReply._pop

    def counting_pop(store: RequestReply, keys: ReplyKeys, timeout_s: float) -> bytes | None:
        rounds.append(timeout_s)
        return pop(store, keys, timeout_s)

    monkeypatch.setattr("stores.redis.request_reply.MAX_BLOCK_S", 0.05)
    monkeypatch.setattr(RequestReply, "_pop", counting_pop)
    results: list[Any] = []
    threads = threading.Thread(target=lambda: results.append(inspections.inspect(KEY, 60)))
    threads.start()
    eventually(lambda: len(rounds) > 3)
    inspections.answer(KEY, STORED)
    threads.join(60)

    assert results == [STORED]
    assert messages.sent == [(INSPECT_IMAGE, KEY)]


def test_answers_expire(inspections: ImageInspections, client: Redis) -> None:
    """Failures, which may be temporary, expire within seconds."""
    inspections.answer(KEY, STORED)
    assert 60 < client.ttl(f"dr:examination:{KEY}") <= 600
    inspections.answer(KEY, Unavailable("Away."))

    assert 0 < client.ttl(f"dr:examination:{KEY}") <= 10


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("type", "text/html"),
        ("type", ["image/png"]),
        ("width", 0),
        ("width", True),
        ("height", "48"),
        ("animated", 1),
        ("blurhash", "<script>alert(1)</script>"),
        ("sha256", "AB" * 32),
        ("sizeBytes", 2**40),
        ("generation", []),
        ("path", "/etc/passwd"),
    ],
)
def test_results_of_the_sandbox_are_validated(name: str, value: Any) -> None:
    """They come from a process that has decoded an untrusted image."""
    good = {key: value for key, value in STORED.to_json().items() if key not in ("key", "thumbKey")}
    assert InspectedImage.from_json(good).to_json() == good

    with pytest.raises(ValueError, match="not an inspected image"):
        InspectedImage.from_json(good | {name: value})
