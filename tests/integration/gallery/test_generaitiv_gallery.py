"""The gallery of the generaitiv API as its existing clients use it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schemas.gallery.pages import MAX_OFFSET
from tests.integration.conftest import close_app, open_app
from tests.integration.gallery.conftest import Person

GOLDEN = Path(__file__).parents[2] / "unit" / "gallery" / "golden"
SUCCESS_KEYS = {"address", "collections", "tokenId", "url", "result", "slug", "success"}
CONTRACT = "0x4b3887515Cd5A0deEaBd6b59f0B8CC87d3608c95"
UNKNOWN_TOKEN = "0x" + "0" * 63 + "1"


def golden(name: str) -> Any:
    """Return a documented response."""
    return json.loads((GOLDEN / f"{name}.json").read_text())


def types(value: Any) -> Any:
    """Return the field set of a JSON value, with the types of its values; what may be null has no type."""
    nullable = {"image", "model", "listing", "workload_id", "token_refresh_requested_at", "twitter"}
    if isinstance(value, dict):
        return {name: None if name in nullable else types(item) for name, item in value.items() if name != "media"}
    return type(value).__name__


def call(person: Person, method: str, path: str, **options: Any) -> Any:
    """Send a request as clients do: the bare key, a content type with a capital letter, and no body in a GET."""
    headers = {"Content-Type": "Application/json", "Authorization": person.key}
    return person.app.client.open(f"/v1{path}", method=method, headers=headers | options.pop("headers", {}), **options)


@pytest.fixture(scope="module")
def filled(owner: Person) -> dict[str, Any]:
    """A collection of three tokens, and an explicit one of one token."""
    person = owner.call("PATCH", "/profile", json={"username": "zkBrain", "link": "https://generaitiv.ai"}).json
    owner.create_collection("Red Every Day", royaltyFee=1000)
    owner.create_collection("Late Hours", explicit=True)
    tokens = [owner.create_token("red-every-day", f"R.E.D. #{number}") for number in range(3)]
    listing = {"price": "0xb1a2bc2ec50000", "startTime": 1, "endTime": 2}
    owner.call("PUT", f"/tokens/{tokens[-1]}/listing", json=listing)
    return {"address": person["address"], "tokens": tokens, "explicit": owner.create_token("late-hours", "R18")}


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_example_app_creates_a_token(owner: Person, slash: str) -> None:
    """Its calls, in its order, in both forms of every path."""
    owner.create_collection(f"aaabbb {len(slash)}", slug=f"aaabbb-{len(slash)}")
    address = call(owner, "GET", f"/consumer/user-info{slash}").json["address"]
    user = owner.app.client.get(f"/v1/u/{address}{slash}").json
    assert (user["address"], user.get("message")) == (address, None)
    slugs = [row["slugOrAddress"] for row in call(owner, "GET", f"/u/{address}/collections{slash}").json["collections"]]
    slug = next(slug for slug in slugs if slug == f"aaabbb-{len(slash)}")
    token_id = call(owner, "GET", f"/c/virtual/next/{address}{slash}").json["tokenId"]
    assert token_id.startswith(address.lower())

    body = golden("new_token_request") | {"tokenId": token_id, "image": {"further": "keys"}}
    created = call(owner, "POST", f"/c/virtual/token/{slug}/{token_id}{slash}", data=json.dumps(body))

    assert (created.status_code, created.json) == (200, golden("new_token"))
    token = call(owner, "GET", f"/c/{CONTRACT.lower()}/{token_id}{slash}").json
    assert (token["metadata"]["attributes"], token["amount"]) == (body["attributes"], body["amount"])
    assert call(owner, "GET", f"/c/virtual/slug-from-id/{token_id}{slash}").json == {"slug": slug}


def test_every_endpoint_has_the_documented_fields(owner: Person, filled: dict[str, Any]) -> None:
    """The fields and their types are those of the documentation; lists add ``next`` and ``hidden``."""
    address, token_id = filled["address"], filled["tokens"][-1]
    collection_address = call(owner, "GET", "/c/red-every-day").json["virtual_address"]
    for path, name, key in (
        ("/q/latest-tokens/?page=0&page_size=50", "latest_tokens", "result"),
        ("/q/latest-collections/?page=0&page_size=50", "latest_collections", "result"),
        ("/tokens/collection/red-every-day/?cursor=0", "tokens_of_collection", "result"),
        (f"/tokens/collection/{collection_address.lower()}", "tokens_of_collection", "result"),
        (f"/tokens/collection/{CONTRACT}/", "tokens_of_collection", "result"),
        (f"/u/{address}/collections/", "collections_of_user", "collections"),
        (f"/u/{address.lower()}", "user", None),
        ("/c/red-every-day/", "collection", None),
        (f"/c/{collection_address}", "collection", None),
        (f"/c/red-every-day/{token_id}/", "token", None),
        (f"/c/{collection_address.lower()}/{token_id.upper().replace('0X', '0x')}", "token", None),
        (f"/c/virtual/slug-from-id/{token_id}", "slug_from_id", None),
        (f"/c/virtual/next/{address.lower()}/", "next", None),
        ("/consumer/user-info/", "user_info", None),
    ):
        response = call(owner, "GET", path)
        assert response.status_code == 200, path
        documented, own = golden(name), response.json
        if key:
            assert {*own} == {*documented, "next", "hidden"}, path
            assert own[key], path
            documented, own = documented[key][0], own[key][0]
        assert types(own) == types(documented), path
        assert "message" not in own, path
    assert call(owner, "GET", "/tokens/collection/red-every-day").json["pageSize"] == 3
    listed = call(owner, "GET", "/q/latest-tokens?explicit=exclude&page_size=100").json["result"]
    offer = next(row for row in listed if row["tokenId"] == token_id)["listing"]
    assert {*offer} == {*golden("latest_tokens")["result"][0]["listing"]}
    assert offer["price"] == golden("latest_tokens")["result"][0]["listing"]["price"]


def test_lists_are_paged_by_number_and_by_cursor(owner: Person, filled: dict[str, Any]) -> None:
    """Cursors end with null, page numbers and numeric cursors with an empty page, and explicit items can be hidden."""
    path = "/tokens/collection/red-every-day?page_size=2"
    first = call(owner, "GET", f"{path}&cursor=0").json
    assert [row["tokenId"] for row in first["result"]] == filled["tokens"][:2]
    second = call(owner, "GET", f"{path}&cursor={first['next']}").json
    assert ([row["tokenId"] for row in second["result"]], second["next"]) == (filled["tokens"][2:], None)
    for counted in (f"{path}&cursor=2", f"{path}&page=1", "/tokens/collection/red-every-day?page_size=50&cursor=2"):
        page = call(owner, "GET", counted).json
        assert [row["tokenId"] for row in page["result"]] == filled["tokens"][2:], counted
    for beyond in (f"{path}&page=2", f"{path}&cursor=4", f"{path}&cursor=3"):
        assert call(owner, "GET", beyond).json["result"] == [], beyond
    everything = call(owner, "GET", "/q/latest-tokens?explicit=include").json
    plain = call(owner, "GET", "/q/latest-tokens?explicit=exclude").json
    assert (len(everything["result"]) - len(plain["result"]), plain["hidden"]) == (1, 1)
    only = call(owner, "GET", "/q/latest-tokens?explicit=only").json
    assert [row["tokenId"] for row in only["result"]] == [filled["explicit"]]
    assert call(owner, "GET", "/q/latest-collections?explicit=exclude").json["hidden"] == 1


@pytest.mark.parametrize("query", [f"page={MAX_OFFSET}&page_size=2", f"cursor={MAX_OFFSET + 1}", f"cursor={'9' * 60}"])
@pytest.mark.parametrize("path", ["/q/latest-tokens", "/q/latest-collections", "/tokens/collection/red-every-day"])
def test_deep_pages_need_the_cursor(owner: Person, filled: dict[str, Any], path: str, query: str) -> None:
    """They are refused with a hint at it, and not as a limit that waiting would lift."""
    assert filled
    response = call(owner, "GET", f"{path}?{query}")

    assert response.status_code == 400
    assert "cursor" in response.json["message"]


def test_an_unchanged_answer_is_not_sent_again(owner: Person, filled: dict[str, Any]) -> None:
    """Weak ETags lead to 304; lists of a gallery for key holders stay out of shared caches."""
    for path in (
        "/q/latest-tokens",
        "/tokens/collection/red-every-day/",
        f"/u/{filled['address']}",
        "/c/red-every-day",
    ):
        first = call(owner, "GET", path)
        etag = first.headers["ETag"]
        assert etag.startswith('W/"')
        again = call(owner, "GET", path, headers={"If-None-Match": f'"other", {etag}'})
        assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", etag)
        assert again.headers["Access-Control-Allow-Origin"] == "*"
        assert "public" not in first.headers["Cache-Control"]
    before = call(owner, "GET", "/c/red-every-day").headers["ETag"]
    owner.call("PATCH", "/collections/red-every-day", json={"description": "changed"})
    assert call(owner, "GET", "/c/red-every-day").headers["ETag"] != before


def test_a_renamed_collection_is_found_by_its_old_slug(owner: Person) -> None:
    """Without a redirect, which would break the preflights of existing clients."""
    owner.create_collection("Sonic Vibration")
    token_id = owner.create_token("sonic-vibration", "a")
    owner.call("PATCH", "/collections/sonic-vibration", json={"slug": "sonic"})

    for path in ("/c/sonic-vibration", f"/c/sonic-vibration/{token_id}", "/tokens/collection/sonic-vibration"):
        assert call(owner, "GET", path).status_code == 200, path
    assert call(owner, "GET", "/c/sonic-vibration").json["slug"] == "sonic"
    owner.create_token("sonic-vibration", "b")


def test_reserved_ids_belong_to_their_owner(owner: Person, bob: Person, filled: dict[str, Any]) -> None:
    """No other key reserves them or uses them, and none is used twice or without being reserved."""
    bob.create_collection("Bobs")
    assert call(bob, "GET", f"/c/virtual/next/{owner.address}").status_code == 403
    mine = call(owner, "GET", f"/c/virtual/next/{owner.address}").json["tokenId"]
    assert int(mine, 16) == int(call(owner, "GET", f"/c/virtual/next/{owner.address}").json["tokenId"], 16) - 1

    def create(person: Person, slug: str, token_id: str, **fields: Any) -> int:
        response = call(person, "POST", f"/c/virtual/token/{slug}/{token_id}", json={"name": "a", **fields})
        assert ("message" in response.json) == (response.status_code != 200)
        return int(response.status_code)

    assert create(bob, "bobs", mine) == 403
    assert create(bob, "red-every-day", mine) == 403
    assert create(owner, "bobs", mine) == 403
    assert create(owner, "red-every-day", f"0x{int(mine, 16) + 1000:064x}") == 403
    assert create(owner, "red-every-day", mine, tokenId=filled["tokens"][0]) == 400
    assert create(owner, "nowhere", mine) == 404
    assert create(owner, "red-every-day", mine) == 200
    assert create(owner, "red-every-day", mine) == 409
    owner.call("DELETE", f"/tokens/{mine}")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "word"),
    [
        ("GET", "/u/undefined/", None, 404, "user"),
        ("GET", "/u/0x" + "0" * 40, None, 404, "user"),
        ("GET", "/u/%00", None, 404, "user"),
        ("GET", "/c/nowhere", None, 404, "ollection"),
        ("GET", "/c/a%00b", None, 404, "ollection"),
        ("GET", f"/c/{CONTRACT}", None, 404, "virtual_address"),
        ("GET", "/c/virtual/undefined", None, 404, "token"),
        ("GET", f"/c/nowhere/{UNKNOWN_TOKEN}/", None, 404, "oken"),
        ("GET", "/c/virtual/slug-from-id/undefined", None, 404, "token"),
        ("GET", "/c/virtual/next/undefined", None, 403, "address"),
        ("GET", "/tokens/collection/nowhere", None, 404, "ollection"),
        ("GET", "/tokens/collection/nowhere?cursor=%00", None, 404, "ollection"),
        ("GET", "/q/latest-tokens?cursor=xyz", None, 400, "cursor"),
        ("GET", "/q/latest-tokens?page=-1", None, 400, "page"),
        ("GET", "/q/latest-collections?explicit=maybe", None, 400, "explicit"),
        ("POST", "/q/latest-tokens", {}, 405, "method"),
        ("POST", f"/c/virtual/token/red-every-day/{UNKNOWN_TOKEN}", None, 400, "JSON object"),
        ("POST", f"/c/virtual/token/red-every-day/{UNKNOWN_TOKEN}", [], 400, "JSON object"),
        ("POST", f"/c/virtual/token/red-every-day/{UNKNOWN_TOKEN}", {}, 400, "name"),
        ("POST", f"/c/virtual/token/red-every-day/{UNKNOWN_TOKEN}", {"name": "a", "amount": "0x0"}, 400, "amount"),
        ("POST", f"/c/virtual/token/red-every-day/{UNKNOWN_TOKEN}", {"name": "a", "attributes": {}}, 400, "attributes"),
        ("POST", f"/c/virtual/token/red-every-day/{UNKNOWN_TOKEN}", {"name": "a"}, 403, "address"),
        ("POST", "/c/virtual/token/red-every-day/undefined", {"name": "a"}, 404, "token"),
    ],
)
def test_every_error_has_a_message(  # noqa: PLR0917 - a row of the table
    owner: Person, filled: dict[str, Any], method: str, path: str, body: Any, status: int, word: str
) -> None:
    """Errors are JSON for pages of any origin, and have no field of a successful response."""
    assert filled
    response = call(owner, method, path, **({} if body is None else {"json": body}))

    assert response.status_code == status, response.json
    assert word in response.json["message"]
    assert not SUCCESS_KEYS & set(response.json)
    assert response.headers["Access-Control-Allow-Origin"] == "*"


def test_an_unknown_user_has_an_empty_list_of_collections(owner: Person) -> None:
    """Clients take the length of the list whatever the status."""
    for address in ("undefined", "0x" + "0" * 40):
        response = call(owner, "GET", f"/u/{address}/collections/")
        assert (response.status_code, response.json["collections"]) == (200, [])


def test_preflights_are_answered(owner: Person) -> None:
    """Also for POST, in both forms, and without credentials."""
    headers = {"Origin": "https://gai.gg", "Access-Control-Request-Method": "POST"}
    for path in (f"/v1/c/virtual/token/a/{UNKNOWN_TOKEN}", f"/v1/c/virtual/token/a/{UNKNOWN_TOKEN}/", "/v1/u/a/"):
        response = owner.app.client.options(path, headers=headers)
        assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (200, "*")
        assert "Access-Control-Allow-Credentials" not in response.headers


def test_reading_needs_a_key_unless_the_gallery_is_public(
    owner: Person, reader: Person, filled: dict[str, Any]
) -> None:
    """A user is public in any case; writing always needs a key with the scope."""
    client, tokens = owner.app.client, f"/v1/c/red-every-day/{filled['tokens'][0]}"
    reads = ["/v1/q/latest-tokens", "/v1/q/latest-collections", "/v1/tokens/collection/red-every-day", tokens]
    for path in reads:
        refused = client.get(path)
        assert (refused.status_code, bool(refused.json["message"])) == (401, True)
        assert reader.call("GET", path).status_code == 200
    assert client.get(f"/v1/u/{filled['address']}").status_code == 200
    assert call(reader, "GET", f"/c/virtual/next/{reader.address}").status_code == 403
    public = open_app(replace(owner.app.stores.settings, gallery_public=True))
    try:
        for path in reads:
            assert public.client.get(path).status_code == 200
        assert "public" in public.client.get("/v1/q/latest-tokens").headers["Cache-Control"]
        next_path = f"/v1/c/virtual/next/{filled['address']}"
        assert public.client.get(next_path).status_code == 401
        assert public.client.get("/v1/q/latest-tokens", headers={"x-api-key": "wrong"}).status_code == 401
    finally:
        close_app(public)
