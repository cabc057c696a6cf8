"""Edits of models over HTTP."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.support.library import LibraryApp
from tests.support.model_files import write_safetensors

EDITS = {
    "name": "Mine",
    "type": "LoCon",
    "baseModel": "Flux.1 D",
    "creator": "me",
    "notes": "line one\n\tline two \u2603",
    "description": "<b>ours</b><script>x</script>",
    "tags": ["one", "Two"],
    "trainedWords": ["w1", "w2"],
    "nsfwLevel": 8,
}


def test_user_edits_survive_scans_until_they_are_reverted(library: LibraryApp) -> None:
    """A reverted field has the value of its sources again."""
    model_id = library.find_id("ink")
    before = library.get(f"/{model_id}")
    after = library.patch(model_id, **EDITS)
    assert after == library.get(f"/{model_id}")
    names = {"name", "type", "baseModel", "notes", "tags", "trainedWords", "nsfwLevel"}
    assert {name: after[name] for name in names} == {name: EDITS[name] for name in names}
    assert (after["creatorName"], after["description"]) == ("me", "<b>ours</b>")
    assert {name for name, source in after["sources"].items() if source == "user"} == set(EDITS)
    assert set(after["editedAt"]) == set(EDITS)
    assert library.find_id("tag:two creator:me base:flux nsfw:8 has:notes w2 type:locon") == model_id

    for path in library.folder.rglob("*.json"):
        path.write_text(path.read_text().replace('"Ink"', '"Inkier"'))
    assert library.scan().problems == 0
    assert library.scan(full=True).read == 4
    assert {name: library.get(f"/{model_id}")[name] for name in names} == {name: EDITS[name] for name in names}

    again = library.patch(model_id, **dict.fromkeys(EDITS))
    assert again["editedAt"] == {}
    assert again["name"] == "Inkier"
    assert {**again, "name": "Ink"} == before


def test_an_empty_user_edit_overrides_the_sources(library: LibraryApp) -> None:
    """Name and type of a model cannot be empty."""
    model_id = library.find_id("ink")
    library.patch(model_id, notes="x")
    after = library.patch(model_id, notes="", baseModel="", creator="", description="", tags=[], trainedWords=[])
    assert (after["notes"] or None, after["baseModel"], after["creatorName"] or None) == (None, None, None)
    assert (after["description"], after["tags"], after["trainedWords"]) == (None, [], [])
    assert library.get("", search="has:notes")["items"] == []
    assert library.patch(model_id)["name"] == "Ink"


NOT_JSON = "Content-Type was not 'application/json'"


INVALID_EDITS: list[tuple[dict[str, Any], str]] = [
    ({"json": {"colour": "red"}}, "colour: Unknown field"),
    ({"json": {"id": 5}}, "id: Unknown field"),
    ({"json": {"name": ""}}, "name:"),
    ({"json": {"name": "   "}}, "name:"),
    ({"json": {"name": 5}}, "name:"),
    ({"json": {"name": "x" * 301}}, "name:"),
    ({"json": {"name": "a\0b"}}, "name: Contains control"),
    ({"data": b'{"name": "\\ud800"}', "content_type": "application/json"}, "name: Contains half"),
    ({"json": {"type": ""}}, "type:"),
    ({"json": {"notes": ["x"]}}, "notes:"),
    ({"json": {"notes": "x" * 100_001}}, "notes:"),
    ({"json": {"tags": "x" * 201}}, "tags:"),
    ({"json": {"tags": [1]}}, "tags:"),
    ({"json": {"tags": [f"t{number}" for number in range(101)]}}, "tags:"),
    ({"json": {"trainedWords": [None]}}, "trainedWords"),
    ({"json": {"trainedWords": "word"}}, "trainedWords"),
    ({"json": {"nsfwLevel": 64}}, "nsfwLevel:"),
    ({"json": {"nsfwLevel": 1.5}}, "nsfwLevel:"),
    ({"json": {"name": "fine", "nsfwLevel": -1}}, "nsfwLevel:"),
    ({"json": []}, "Invalid input type"),
    ({}, NOT_JSON),
    ({"data": b"null", "content_type": "application/json"}, "Invalid input type"),
    ({"data": b"{", "content_type": "application/json"}, "not valid JSON"),
    ({"data": b"[" * 200_000, "content_type": "application/json"}, "not valid JSON"),
    ({"data": {"notes": "from a form"}}, NOT_JSON),
    ({"data": b'{"notes": "x"}', "content_type": "text/plain"}, NOT_JSON),
]


def test_invalid_edits_are_rejected_and_change_nothing(library: LibraryApp) -> None:
    """The valid fields of the same request are not stored either."""
    model_id = library.find_id("ink")
    before = library.get(f"/{model_id}")
    for body, message in INVALID_EDITS:
        response = library.request("PATCH", f"/{model_id}", **body)
        status = 415 if message == NOT_JSON else 400
        assert (response.status_code, "requestId" in response.json) == (status, True), body
        assert message in response.json["error"], (message, response.json)
    assert library.get(f"/{model_id}") == before
    assert library.request("PATCH", "/999999", json={"notes": "x"}).status_code == 404
    assert library.request("PATCH", "/x", json={"notes": "x"}).json["error"] == "Invalid model ID"


def test_control_characters_and_lone_surrogates_are_removed(library: LibraryApp) -> None:
    """The rest of the text stays."""
    model_id = library.find_id("ink")
    response = library.request(
        "PATCH",
        f"/{model_id}",
        data=b'{"notes": "a\\u0000b\\ud800c\\n\\td \\ud83d\\ude00"}',
        content_type="application/json",
    )
    assert response.json["notes"] == "abc\n\td \U0001f600"


def test_concurrent_edits_of_different_fields_are_all_kept(library: LibraryApp) -> None:
    """Each field has the value of its last edit."""
    model_id = library.find_id("ink")
    with ThreadPoolExecutor(4) as threads:
        edits = [{"notes": f"notes {number}"} for number in range(10)] + [
            {"creator": f"c{number}"} for number in range(10)
        ]
        responses = list(threads.map(lambda fields: library.request("PATCH", f"/{model_id}", json=fields), edits))
    assert [response.status_code for response in responses] == [200] * 20
    last = library.get(f"/{model_id}")
    assert (last["notes"][:6], last["creatorName"][:1]) == ("notes ", "c")
    assert last["sources"]["notes"] == last["sources"]["creator"] == "user"
    library.patch(model_id, name="First", notes="of the first")
    library.patch(model_id, name="Second", tags=["second"])
    model = library.patch(model_id, baseModel="SD 3")
    assert (model["name"], model["notes"], model["tags"], model["baseModel"]) == (
        "Second",
        "of the first",
        ["second"],
        "SD 3",
    )


def test_a_user_edit_of_the_base_model_applies_to_the_only_local_version(library: LibraryApp) -> None:
    """Remote versions, and models with several local versions, keep their own."""
    model_id = library.find_id("ink")
    versions = library.patch(model_id, baseModel="Mine")["versions"]
    assert [entry["baseModel"] for entry in versions if entry["isLocal"]] == ["Mine"]
    assert "Mine" not in [entry["baseModel"] for entry in versions if not entry["isLocal"]]
    [listed] = library.get("", search="ink", include="versions")["items"]
    assert [entry["baseModel"] for entry in listed["versions"] if entry["isLocal"]] == ["Mine"]
    for number in (1, 2):
        write_safetensors(library.folder / "loras" / f"mine-00000{number}.safetensors", data=b"%d" % number)
    library.scan()
    epochs = library.patch(library.find_id("name:mine"), baseModel="Mine")["versions"]
    assert [entry["baseModel"] for entry in epochs] == [None, None]
