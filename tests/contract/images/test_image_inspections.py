"""Questions about uploaded pictures: asked once, answered for everybody, given up in time."""

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
FOUND = StoredImage(
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


class Messages:
    """A queue that only notes what was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, ...]] = []

    def send(self, *words: str) -> None:
        """Note a message."""
        self.sent.append(words)


@pytest.fixture
def messages() -> Messages:
    """What was asked of the couriers."""
    return Messages()


@pytest.fixture
def examinations(client: Redis, messages: Messages) -> ImageInspections:
    """The store under test."""
    return ImageInspections(client, messages)  # type: ignore[arg-type] # only its send is used


def test_an_answer_ends_every_wait(examinations: ImageInspections, messages: Messages) -> None:
    """Three ask at once, one courier is asked, all have the answer; who asks later has it at once."""
    got: list[Any] = []
    waiting = [threading.Thread(target=lambda: got.append(examinations.inspect(KEY, 20))) for _ in range(3)]
    for thread in waiting:
        thread.start()
    eventually(lambda: messages.sent)
    assert examinations.is_requested(KEY)
    examinations.answer(KEY, FOUND)
    for thread in waiting:
        thread.join(10)

    assert got == [FOUND] * 3
    assert examinations.inspect(KEY, 0) == FOUND
    assert messages.sent == [(INSPECT_IMAGE, KEY)]


@pytest.mark.parametrize(
    "error", [Invalid("Too many frames.", reason="too_many_frames"), NotFound("Gone."), Unavailable("Away.")]
)
def test_a_refusal_is_an_answer(examinations: ImageInspections, error: ServiceError) -> None:
    """With its sentence and its word."""
    examinations.answer(KEY, error)

    with pytest.raises(type(error)) as caught:
        examinations.inspect(KEY, 5)
    assert (caught.value.message, caught.value.details) == (error.message, error.details)


def test_without_couriers_one_waits_no_longer_than_one_wants(
    examinations: ImageInspections, messages: Messages
) -> None:
    """And is told to come again; the question does not stand for ever."""
    with pytest.raises(Unavailable) as caught:
        examinations.inspect(KEY, 0.05)

    assert caught.value.retry_after_s
    assert messages.sent == [(INSPECT_IMAGE, KEY)]


def test_what_nobody_waits_for_is_not_wanted(examinations: ImageInspections, client: Redis) -> None:
    """Neither what was never asked, nor what was answered, nor what is no longer waited for."""
    assert not examinations.is_requested(KEY)
    with pytest.raises(Unavailable):
        examinations.inspect(KEY, 0.05)
    assert examinations.is_requested(KEY)
    assert 0 < client.ttl(f"dr:examination:{KEY}:asked") <= 2
    examinations.answer(KEY, FOUND)
    assert not examinations.is_requested(KEY)


def test_the_mark_of_an_old_answer_wakes_nobody(
    examinations: ImageInspections, client: Redis, messages: Messages
) -> None:
    """Whoever asks anew waits for the new answer."""
    examinations.answer(KEY, Unavailable("Away."))
    client.delete(f"dr:examination:{KEY}")
    assert client.exists(f"dr:examination:{KEY}:ready")
    with pytest.raises(Unavailable, match="timed out"):
        examinations.inspect(KEY, 0.05)

    assert messages.sent == [(INSPECT_IMAGE, KEY)]
    assert not client.exists(f"dr:examination:{KEY}:ready")


def test_one_may_wait_longer_than_a_connection(
    examinations: ImageInspections, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wait is made of waits that each end before a connection's own limit."""
    assert MAX_BLOCK_S < SOCKET_TIMEOUT_S
    rounds: list[float] = []
    pop = RequestReply._pop

    def counting_pop(store: RequestReply, keys: ReplyKeys, timeout_s: float) -> bytes | None:
        rounds.append(timeout_s)
        return pop(store, keys, timeout_s)

    monkeypatch.setattr("stores.redis.request_reply.MAX_BLOCK_S", 0.05)
    monkeypatch.setattr(RequestReply, "_pop", counting_pop)
    got: list[Any] = []
    waiting = threading.Thread(target=lambda: got.append(examinations.inspect(KEY, 60)))
    waiting.start()
    eventually(lambda: len(rounds) > 3)
    examinations.answer(KEY, FOUND)
    waiting.join(10)

    assert got == [FOUND]
    assert messages.sent == [(INSPECT_IMAGE, KEY)]


def test_an_answer_does_not_stay_for_ever(examinations: ImageInspections, client: Redis) -> None:
    """What may be better the next time is forgotten within seconds."""
    examinations.answer(KEY, FOUND)
    assert 60 < client.ttl(f"dr:examination:{KEY}") <= 600
    examinations.answer(KEY, Unavailable("Away."))

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
def test_findings_are_believed_only_as_far_as_they_can_be_true(name: str, value: Any) -> None:
    """They come from a process that strangers' pictures have been in."""
    good = {key: value for key, value in FOUND.to_json().items() if key not in ("key", "thumbKey")}
    assert InspectedImage.from_json(good).to_json() == good

    with pytest.raises(ValueError, match="not an inspected image"):
        InspectedImage.from_json(good | {name: value})
