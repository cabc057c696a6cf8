"""What an archive of a collection says: the limits of its manifest and of its provenance records."""

import json
from typing import Any

import pytest

from schemas.errors import Invalid
from schemas.gallery.documents.archive import FORMAT, MAX_HASHES, VERSION, parse_manifest, parse_record
from schemas.gallery.provenance import MAX_GENERATION_CHARS, MAX_MODELS

RECORD: dict[str, Any] = {
    "version": 1,
    "jobId": "c" * 32,
    "seq": 5,
    "number": 1,
    "startedAt": 1,
    "finishedAt": 2,
    "site": {"name": "studio", "title": "Studio", "recipe": None, "deterministic": True},
    "prompt": "a lighthouse",
    "lora": None,
    "inputs": {},
    "seed": 7,
    "models": [],
    "image": {"sha256": "a" * 64, "type": "image/png", "width": 8, "height": 8, "sizeBytes": 9},
    "generation": {"resources": [{"name": "dream"}]},
}
MODEL = {"kind": "lora", "name": "ink", "hashes": {}}


def parse(**changes: Any) -> dict[str, Any]:
    """Read a record with changes."""
    return parse_record(json.dumps(RECORD | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"generation": {"resources": None}},
        {"generation": {"resources": 5}},
        {"generation": {"resources": {"a": 1}}},
        {"generation": {"resources": [5]}},
        {"generation": {"other": "x" * MAX_GENERATION_CHARS}},
        {"generation": {"other": [[]] * 60_000}},
        {"startedAt": 2**53},
        {"finishedAt": 2**53},
        {"finishedAt": 253_402_300_800_000},
        {"seq": 2**63},
        {"image": RECORD["image"] | {"width": 2**63}},
        {"image": RECORD["image"] | {"sizeBytes": -1}},
        {"models": [MODEL] * (MAX_MODELS + 1)},
    ],
)
def test_a_record_that_would_break_later_is_refused(changes: dict[str, Any]) -> None:
    """Wrong types, times after the year 9999, numbers that no column holds, and texts and lists without end."""
    assert parse()["imported"] is True
    with pytest.raises(Invalid):
        parse(**changes)


def test_a_model_keeps_the_hashes_that_tell_most() -> None:
    """Each of them is looked up in the library."""
    hashes = {"CRC32": "0" * 8, "AutoV1": "1" * 8, "AutoV2": "2" * 10, "AutoV3": "3" * 12}
    hashes |= {"SHA256": "4" * 64, "BLAKE3": "5" * 64, "hash": "6" * 8}
    (model,) = parse(models=[MODEL | {"hashes": hashes}])["models"]
    assert list(model["hashes"]) == ["AutoV2", "AutoV3", "SHA256", "BLAKE3"]
    assert len(model["hashes"]) == MAX_HASHES


@pytest.mark.parametrize("part", ["picture", "poster", "provenance"])
def test_no_two_tokens_name_the_same_member(part: str) -> None:
    """Otherwise a small archive would unpack to any size; inputs are shared, because jobs share them."""
    name = f"{part}s/{'a' * 64}.png" if part != "provenance" else f"provenance/{'a' * 64}.json"
    token = {"name": "Dusk", "amount": 1, "inputs": {"init": f"inputs/{'b' * 64}.png"}}
    document = {"format": FORMAT, "version": VERSION, "collection": {"name": "Sea"}, "tokens": [token, token]}
    assert len(parse_manifest(json.dumps(document)).tokens) == 2
    document["tokens"] = [token | {part: name}, token | {part: name}]
    with pytest.raises(Invalid, match="twice"):
        parse_manifest(json.dumps(document))
