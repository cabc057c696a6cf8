"""The gallery's native API: profiles, collections and tokens."""

from typing import Any

import pytest

from tests.integration.gallery.conftest import Person

UNKNOWN_TOKEN = "0x" + "0" * 63 + "1"


def token_ids(person: Person, path: str) -> list[str]:
    """Return the token ids of a list."""
    return [token["tokenId"] for token in person.call("GET", path).json["items"]]


def test_a_profile_is_changed_and_shown(owner: Person, bob: Person) -> None:
    """Everyone may read it; a taken username is refused with a free one, whatever its case."""
    changed = owner.call("PATCH", "/profile", json={"username": "Ada", "bio": "I\nwrite", "link": "https://a.test/"})
    assert changed.status_code == 200, changed.json
    shown = owner.app.client.get(f"/api/v1/gallery/profiles/{owner.address.lower()}").json
    assert (shown["username"], shown["bio"], shown["link"]) == ("Ada", "I\nwrite", "https://a.test/")
    assert (shown["pictureUrl"], shown["twitterVerified"]) == (None, False)

    taken = bob.call("PATCH", "/profile", json={"username": "aDA"})
    assert (taken.status_code, taken.json["error"]["code"]) == (409, "conflict")
    free = taken.json["error"]["details"]["suggestion"]
    assert bob.call("PATCH", "/profile", json={"username": free}).json["username"] == free
    assert owner.call("PATCH", "/profile", json={"username": None, "link": ""}).json["username"] is None
    for address in ("0x" + "0" * 40, "undefined"):
        assert owner.app.client.get(f"/api/v1/gallery/profiles/{address}").status_code == 404


def test_a_collection_is_created_renamed_and_deleted(owner: Person) -> None:
    """Its old slug redirects, and no other collection can take it before the collection is deleted."""
    created = owner.create_collection("Ёлка & Schnee", description="two\nlines", royaltyFee=250)
    assert (created["slug"], created["tokenCount"], created["status"]) == ("elka-schnee", 0, "ACTIVE")
    renamed = owner.call("PATCH", "/collections/elka-schnee", json={"slug": "elka", "explicit": True})
    assert (renamed.json["slug"], renamed.json["explicit"], renamed.json["royaltyFee"]) == ("elka", True, 250)

    for path in ("/collections/elka-schnee", "/collections/elka-schnee/tokens"):
        moved = owner.call("GET", f"{path}?limit=5")
        assert moved.status_code == 308
        assert owner.call("GET", moved.headers["Location"]).status_code == 200
        assert moved.headers["Location"].endswith("?limit=5")
    taken = owner.call("POST", "/collections", json={"name": "Elka Schnee"})
    assert taken.status_code == 409
    assert owner.create_collection("x", slug=taken.json["error"]["details"]["suggestion"])["name"] == "x"
    token_id = owner.create_token("elka", "a")
    assert owner.call("DELETE", "/collections/elka").status_code == 409
    owner.call("DELETE", f"/tokens/{token_id}")
    assert owner.call("DELETE", "/collections/elka").status_code == 204
    assert owner.call("GET", "/collections/elka-schnee").status_code == 404
    owner.create_collection("Elka Schnee")


@pytest.mark.parametrize("slug", ["virtual", "0x" + "a" * 40, "A B", "", "a--b"])
def test_slugs_that_paths_cannot_tell_apart_are_refused(owner: Person, slug: str) -> None:
    """The message names the field."""
    response = owner.call("POST", "/collections", json={"name": "a", "slug": slug})

    assert (response.status_code, "slug" in response.json["error"]["details"][0]) == (400, True)


def test_archived_collections_are_shown_to_their_owner(owner: Person, bob: Person) -> None:
    """Lists of others leave them out; their own address does not."""
    owner.create_collection("Attic")
    owner.create_token("attic", "dust")
    owner.call("PATCH", "/collections/attic", json={"status": "ARCHIVED"})

    def slugs(person: Person, query: str) -> list[str]:
        return [row["slug"] for row in person.call("GET", f"/collections{query}").json["items"]]

    assert "attic" in slugs(owner, "?owner=me")
    assert "attic" in slugs(owner, f"?owner={owner.address}")
    assert "attic" not in slugs(owner, "") + slugs(bob, f"?owner={owner.address}")
    assert "dust" not in [token["name"] for token in bob.call("GET", "/tokens").json["items"]]
    assert bob.call("GET", "/collections/attic").json["tokenCount"] == 1
    assert slugs(bob, "?owner=0x" + "0" * 40) == []
    assert bob.call("GET", "/collections?owner=ada").status_code == 400


def test_tokens_are_changed_moved_and_put_in_order(owner: Person, bob: Person) -> None:
    """Numbers, display types and privacy are kept; others see no private flag."""
    owner.create_collection("Left")
    owner.create_collection("Right")
    first, second, third = (owner.create_token("left", name) for name in "abc")
    attributes = [{"trait_type": "Level", "value": 3, "display_type": "boost_number"}]
    changes = {"name": "A", "attributes": attributes, "amount": 7, "promptPrivate": True}
    changed = owner.call("PATCH", f"/tokens/{first.upper().replace('0X', '0x')}", json=changes).json
    assert (changed["name"], changed["attributes"], int(changed["amount"], 16)) == ("A", attributes, 7)
    assert changed["promptPrivate"] is True
    assert "promptPrivate" not in bob.call("GET", f"/tokens/{first}").json

    order = {"tokenIds": [third, first]}
    assert owner.call("PUT", "/collections/left/order", json=order).status_code == 204
    assert token_ids(owner, "/collections/left/tokens") == [third, second, first]
    assert owner.call("POST", f"/tokens/{first}/move", json={"before": third}).status_code == 200
    assert token_ids(owner, "/collections/left/tokens") == [first, third, second]
    moved = owner.call("POST", f"/tokens/{third}/move", json={"collection": "right"}).json
    assert moved["collection"]["slug"] == "right"
    assert token_ids(owner, "/collections/left/tokens") == [first, second]
    assert [owner.call("GET", f"/collections/{slug}").json["tokenCount"] for slug in ("left", "right")] == [2, 1]
    wrong = owner.call("PUT", "/collections/left/order", json={"tokenIds": [second, third]})
    assert (wrong.status_code, wrong.json["error"]["details"]) == (409, {"missing": [third]})
    assert owner.call("POST", f"/tokens/{first}/move", json={"before": third}).status_code == 409


def test_offers_are_kept_as_information(owner: Person) -> None:
    """They are shown until they are withdrawn."""
    owner.create_collection("Market")
    token_id = owner.create_token("market", "a")
    offer = {"price": "50000000000000000", "startTime": 1_684_335_360, "endTime": "0x65577f00", "amount": 1}

    listing = owner.call("PUT", f"/tokens/{token_id}/listing", json=offer).json["listing"]

    assert {name: int(value, 16) for name, value in listing.items()} == offer | {
        "price": 5 * 10**16,
        "endTime": 0x65577F00,
    }
    assert owner.call("GET", f"/tokens/{token_id}").json["listing"] == listing
    assert owner.call("DELETE", f"/tokens/{token_id}/listing").json["listing"] is None


def test_lists_are_paged_and_filtered(owner: Person) -> None:
    """Cursors reach every token once; ``hidden`` counts what the filter leaves out."""
    owner.create_collection("Long", explicit=True)
    ids = [owner.create_token("long", str(number)) for number in range(5)]
    cursor, seen = "", []
    while cursor is not None:
        page = owner.call("GET", f"/collections/long/tokens?limit=2&cursor={cursor}").json
        seen += [token["tokenId"] for token in page["items"]]
        cursor = page["nextCursor"]
    assert seen == ids
    hidden = owner.call("GET", "/collections/long/tokens?explicit=exclude").json
    assert (hidden["items"], hidden["hidden"]) == ([], 5)
    etag = owner.call("GET", "/tokens").headers["ETag"]
    assert owner.call("GET", "/tokens", headers={"If-None-Match": etag}).status_code == 304
    for query in ("limit=101", "limit=x", "cursor=!", "explicit=x"):
        refused = owner.call("GET", f"/tokens?{query}")
        assert (refused.status_code, query.partition("=")[0] in refused.json["error"]["details"][0]) == (400, True)


def test_only_owners_with_the_scope_change_anything(owner: Person, bob: Person, reader: Person) -> None:
    """Other callers get 403, and a key for reading gets it before its request is looked at."""
    owner.create_collection("Mine")
    token_id = owner.create_token("mine", "a")
    offer = {"price": 1, "startTime": 1, "endTime": 2}
    calls: list[tuple[str, str, Any]] = [
        ("PATCH", "/collections/mine", {"name": "Yours"}),
        ("DELETE", "/collections/mine", None),
        ("PUT", "/collections/mine/order", {"tokenIds": [token_id]}),
        ("PATCH", f"/tokens/{token_id}", {"name": "b"}),
        ("DELETE", f"/tokens/{token_id}", None),
        ("POST", f"/tokens/{token_id}/move", {}),
        ("PUT", f"/tokens/{token_id}/listing", offer),
        ("DELETE", f"/tokens/{token_id}/listing", None),
    ]
    before = owner.call("GET", f"/tokens/{token_id}").json
    for method, path, body in calls:
        for person in (bob, reader):
            response = person.call(method, path, json=body)
            assert response.status_code == 403, (method, path)
        scope = "gallery" in response.json["error"]["message"]
        assert scope, (method, path)
    for method, path, body in (("PATCH", "/profile", {}), ("POST", "/collections", {"name": "a"})):
        assert reader.call(method, path, json=body).status_code == 403
    assert owner.call("GET", f"/tokens/{token_id}").json == before
    bob.create_collection("Bobs own")
    foreign = bob.create_token("bobs-own", "a")
    assert owner.call("POST", f"/tokens/{token_id}/move", json={"collection": "bobs-own"}).status_code == 403
    assert owner.call("POST", f"/tokens/{foreign}/move", json={"collection": "mine"}).status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/tokens/undefined", None, 404),
        ("GET", f"/tokens/{UNKNOWN_TOKEN}", None, 404),
        ("PATCH", f"/tokens/{UNKNOWN_TOKEN}", {"name": "a"}, 404),
        ("GET", "/collections/nowhere", None, 404),
        ("PATCH", "/collections/nowhere", {"name": "a"}, 404),
        ("POST", "/collections", {"name": ""}, 400),
        ("POST", "/collections", [], 400),
        ("PATCH", "/profile", {"picture": "x"}, 400),
        ("PATCH", "/profile", {"picture": UNKNOWN_TOKEN}, 404),
        ("POST", "/collections/nowhere/tokens", {}, 404),
        ("PATCH", "/profile", {"admin": True}, 400),
    ],
)
def test_mistakes_are_named(owner: Person, method: str, path: str, body: Any, status: int) -> None:
    """Every refusal is an error of the native API with a stable code."""
    response = owner.call(method, path, **({} if body is None else {"json": body}))

    assert response.status_code == status, response.json
    assert response.json["error"]["code"] in {"invalid", "not_found"}


def test_a_body_of_another_type_changes_nothing(owner: Person) -> None:
    """A form is refused instead of being taken for an empty change."""
    response = owner.call("PATCH", "/profile", data={"bio": "x"})

    assert response.status_code == 415
