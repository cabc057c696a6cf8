"""Messages of a page's WebSockets."""

import base64
import json
import struct
from typing import Any

import pytest

from schemas.sites.documents import find_values
from schemas.sites.observe import FramesSpec
from workers.sites.observer.frames import FrameData, FrameReader, find_image, strip_envelope

JPEG = b"\xff\xd8\xff\xe0" + b"picture"
PNG = b"\x89PNG\r\n\x1a\n" + b"picture"
METADATA = json.dumps({"node_id": "3", "image_type": "image/png"}).encode()


@pytest.mark.parametrize(
    ("payload", "skip_bytes", "picture"),
    [
        (struct.pack(">II", 1, 1) + JPEG, 8, JPEG),
        (struct.pack(">II", 4, len(METADATA)) + METADATA + PNG, 8, PNG),
        (struct.pack(">II", 4, len(METADATA)) + METADATA + PNG, 0, PNG),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", 0, b"RIFF\x10\x00\x00\x00WEBPVP8 "),
        (b"head\x00\x00\x00\x20ftypavif", 0, b"\x00\x00\x00\x20ftypavif"),
        (struct.pack(">I", 3) + b"step 3 of 20", 8, None),
        (b"", 8, None),
    ],
)
def test_a_picture_is_found_behind_any_header(payload: bytes, skip_bytes: int, picture: bytes | None) -> None:
    """The signature of the format tells where it begins; messages without a picture have none."""
    start = find_image(payload, skip_bytes)

    assert picture == (None if start is None else payload[start:])


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ('42/queue,["progress",{"percentage":0.5}]', '["progress",{"percentage":0.5}]'),
        ('42["done"]', '["done"]'),
        ('42/queue,17["ack"]', '["ack"]'),
        ('451-/queue,["binary",{"_placeholder":true}]', '["binary",{"_placeholder":true}]'),
        ('{"type": "status"}', '{"type": "status"}'),
        ("2", "2"),
        ("42", "42"),
    ],
)
def test_the_envelope_of_socket_io_is_removed(payload: str, text: str) -> None:
    """Messages that have none stay as they are."""
    assert strip_envelope(payload) == text


def listen(*rules: tuple[str, int, FramesSpec]) -> tuple[Any, list[tuple[str, FrameData]]]:
    """Return the function that receives a message, and the list of what was read."""
    seen: list[tuple[str, FrameData]] = []
    listener = FrameReader(rules, "http://site/", lambda kind, data: seen.append((kind, data)))
    return listener.receive, seen


def test_messages_without_a_picture_do_not_delay_previews() -> None:
    """A text message that comes first does not use up the rate limit."""
    receive, seen = listen(("preview", 0, FramesSpec(skip_bytes=8)))

    receive(struct.pack(">I", 3) + b"text without a picture")
    receive(struct.pack(">II", 1, 1) + JPEG)

    assert [data.data for _, data in seen] == [JPEG]


def test_the_first_rule_of_a_kind_that_matches_counts() -> None:
    """Rules are alternatives; a list of values matches any of them."""
    receive, seen = listen(
        ("done", 0, FramesSpec({"type": "executed", "t": "output"}, pictures="images", url="{{url}}v?{{name}}")),
        (
            "done",
            1,
            FramesSpec({"type": "executed", "t": ["output", "temp"]}, pictures="images", url="{{url}}t?{{name}}"),
        ),
        ("until", 0, FramesSpec({"type": ["success", "cached"]})),
    )

    for message in (
        {"type": "executed", "t": "output", "images": [{"name": "a b"}, {"name": "c"}]},
        {"type": "executed", "t": "temp", "images": {"name": "only"}},
        {"type": "executed", "t": "temp", "images": []},
        {"type": "cached"},
    ):
        receive(json.dumps(message))

    assert [(kind, data.entry, data.urls) for kind, data in seen] == [
        ("done", 0, ("http://site/v?a%20b", "http://site/v?c")),
        ("done", 1, ("http://site/t?only",)),
        ("until", 0, ()),
    ]


def test_fractions_and_data_urls_are_read() -> None:
    """A fraction becomes a percentage, and a ``data:`` URL the bytes of a preview."""
    url = f"data:image/jpeg;base64,{base64.b64encode(JPEG).decode()}"
    receive, seen = listen(
        ("progress", 0, FramesSpec({"0": "progress"}, fraction="1.percentage")),
        ("preview", 0, FramesSpec({"0": "progress"}, picture="1.image.dataURL")),
    )

    receive("42/queue," + json.dumps(["progress", {"percentage": 0.425, "image": {"dataURL": url}}]))
    receive("42/queue," + json.dumps(["progress", {"percentage": None, "image": None}]))

    assert [(kind, data.text, data.data) for kind, data in seen] == [("progress", "42.5%", b""), ("preview", "", JPEG)]


def test_messages_about_other_jobs_are_ignored() -> None:
    """A server that tells every page about every job is understood by the id of the prompt, whenever it is known."""
    rule = FramesSpec(match={"0": "done", "1.job": "{{id}}"}, text="1.text")
    seen: list[str] = []
    listener = FrameReader([("error", 0, rule)], "http://site/", lambda _kind, data: seen.append(data.text))

    def receive(job: str | int, text: str) -> None:
        listener.receive(f"42{json.dumps(['done', {'job': job, 'text': text}])}")

    receive(7, "from before the submission")
    listener.forget_early()
    receive(7, "early")
    receive(8, "of another page")
    assert seen == []
    listener.set_submission_id("7")
    receive("7", "late")
    receive(8, "of another page")

    assert seen == ["early", "late"]


def test_missed_events_are_read_as_a_message() -> None:
    """Pictures below any key are found; entries of another kind do not count."""
    rule = FramesSpec(
        match={"missed.*.status.completed": True},
        pictures="missed.*.outputs.*.images",
        where={"type": "output"},
        url="{{url}}view?filename={{filename}}",
    )
    seen: list[tuple[str, ...]] = []
    listener = FrameReader([("done", 0, rule)], "http://site/", lambda _kind, data: seen.append(data.urls))

    def images(*names: str, kind: str = "output") -> dict[str, Any]:
        return {"images": [{"filename": name, "type": kind} for name in names]}

    outputs = {"9": images("a.png", "b.png"), "12": images("c.png"), "13": images("preview.png", kind="temp")}
    listener.read_missed(json.dumps({"id": {"outputs": outputs, "status": {"completed": False}}}))
    listener.read_missed("{}")
    listener.read_missed("no JSON")
    assert seen == []
    listener.read_missed(json.dumps({"id": {"outputs": outputs, "status": {"completed": True}}}))

    assert seen == [tuple(f"http://site/view?filename={name}.png" for name in "abc")]


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("a.b", [1]),
        ("a.*", [1, 2]),
        ("*.b", [1]),
        ("list.*.c", [3, 4]),
        ("list.1.c", [4]),
        ("a.x", []),
        ("list.*.x", []),
        ("a.b.*", []),
    ],
)
def test_a_path_may_have_a_wildcard(path: str, values: list[int]) -> None:
    """It stands for every key or index; a path that leads nowhere has no values."""
    content = {"a": {"b": 1, "c": 2}, "list": [{"c": 3}, {"c": 4}]}

    assert [*find_values(content, path)] == values
