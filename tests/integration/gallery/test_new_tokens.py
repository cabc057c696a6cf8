"""Tokens with pictures: of a job, of the library, of a form, or to be uploaded afterwards."""

import hashlib
import io
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from sqlalchemy import Integer, insert
from sqlalchemy.types import String

from ops.infra.settings import Settings
from schemas.jobs.job import GeneratedImage
from stores import Stores
from stores.gallery.events import EventQueue
from stores.library.tables import models
from stores.redis.keys import job_key
from tests.conftest import API_KEY, eventually
from tests.integration.gallery.conftest import Person
from tests.integration.gallery.picture_stack import open_stack
from tests.support.images import SVG, VALID_IMAGES, draw_image, encode

PROMPT = "a lighthouse\n at dusk, " + "very " * 40 + "detailed"


@pytest.fixture(scope="module")
def owner(gallery_settings: Settings) -> Iterator[Person]:
    """The owner, with a collection, in an app with background actors."""
    with open_stack(gallery_settings, limit_open_uploads=3) as stack:
        person = Person(stack.app, API_KEY)
        person.create_collection("Pictures")
        yield person


@pytest.fixture(scope="module")
def bob(owner: Person) -> Person:
    """Another person of that app."""
    return Person(owner.app, owner.app.stores.api_keys.create("bob"))


def complete_job(person: Person, *pictures: bytes, prompt: str = PROMPT) -> str:
    """Submit a job and complete it with pictures; return its id."""
    job_id = person.app.submit(prompt, seed=7)
    attempts = person.app.stores.attempts
    job = attempts.claim("w1")
    assert job is not None
    attempts.mark_accepted(job)
    images = [GeneratedImage(picture, "image/png", 64, 64) for picture in pictures]
    keys = attempts.store_images(job, images, VALID_IMAGES["jpeg"][0])
    attempts.complete(job, images, keys)
    return job_id


def picture_with_text(number: int) -> bytes:
    """Return a PNG that carries a text, as programs write it."""
    info = PngInfo()
    info.add_text("parameters", f"secret {number}\nSteps: 4")
    file = io.BytesIO()
    draw_image((64, 64)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def add_library_image(stores: Stores, data: bytes) -> int:
    """Return the id of a user image of a new model of the library."""
    filled: dict[str, Any] = {}
    for column in models.c:
        if not column.nullable and not column.primary_key:
            filled[column.name] = "" if isinstance(column.type, String) else 0
    assert isinstance(models.c.id.type, Integer)
    with stores.engine.begin() as connection:
        key = connection.execute(insert(models).values(filled)).inserted_primary_key
    assert key is not None
    stores.media.put("library/test", data)
    columns = {"media_key": "library/test", "media_type": "image/png", "nsfw_level": 1, "params": {}}
    return stores.library.images.add(key[0], None, columns).id


def fetch(person: Person, url: str) -> bytes:
    """Return the bytes of a public file."""
    response = person.app.client.get(urlsplit(url).path)
    assert response.status_code == 200, url
    return bytes(response.data)


def add(person: Person, **body: Any) -> Any:
    """Add a token to the collection."""
    return person.call("POST", "/collections/pictures/tokens", json=body)


def test_a_picture_of_a_job_is_kept_byte_for_byte(owner: Person) -> None:
    """Each of its pictures, with its provenance, and under a name from the prompt."""
    pictures = [picture_with_text(1), picture_with_text(2)]
    job_id = complete_job(owner, *pictures)

    response = add(owner, jobId=job_id, number=2, attributes=[{"trait_type": "Theme", "value": "Light"}])

    assert response.status_code == 201, response.json
    token = response.json
    assert owner.call("GET", response.headers["Location"]).json == token
    assert token["name"].startswith("a lighthouse at dusk, very")
    assert len(token["name"]) <= 80
    assert (token["workloadId"], token["model"], token["media"]["status"]) == (f"0x{job_id}", "studio", "ready")
    assert token["media"]["sha256"] == hashlib.sha256(pictures[1]).hexdigest()
    assert fetch(owner, token["media"]["url"]) == pictures[1]
    kept = owner.app.stores.gallery.tokens.find(token["tokenId"])
    assert kept.provenance is not None
    assert (kept.provenance["prompt"], kept.provenance["number"]) == (PROMPT, 2)
    seed_view = owner.call("GET", f"/v1/c/pictures/{token['tokenId']}").json
    assert (seed_view["workload_id"], seed_view["media"]["width"]) == (f"0x{job_id}", 64)
    assert seed_view["metadata"]["image"] == token["media"]["url"]


def test_a_private_prompt_is_in_no_name_and_no_picture(owner: Person) -> None:
    """The bytes are kept without their metadata then, also if it becomes private later, in the console."""
    token = add(owner, jobId=complete_job(owner, picture_with_text(1)), promptPrivate=True).json

    assert (token["name"], token["promptPrivate"]) == ("Untitled", True)
    assert b"secret" not in fetch(owner, token["media"]["url"])

    token_id = add(owner, jobId=complete_job(owner, picture_with_text(1)), name="Dusk").json["tokenId"]
    form = {"name": "Dusk", "description": "", "private": "on"}
    headers = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
    saved = owner.app.post(f"/console/gallery/pictures/pictures/{token_id}", data=form, headers=headers)
    assert saved.status_code == 303
    changed = owner.call("GET", f"/tokens/{token_id}").json
    assert changed["promptPrivate"]
    assert b"secret" not in fetch(owner, changed["media"]["url"])


def test_others_see_no_trace_of_a_private_prompt(owner: Person, bob: Person) -> None:
    """In whatever field the owner wrote it, and in whatever view they look; nor of the job, whose pictures are open."""
    prompt = "an orchid in a telescope, very very detailed"
    words = "Orchid in a telescope, very very"
    attributes = [{"trait_type": "Prompt", "value": words}, {"trait_type": "Medium", "value": "oil"}]
    telling = {"name": words, "description": prompt, "attributes": attributes}
    job_id = complete_job(owner, picture_with_text(1), prompt=prompt)
    token = add(owner, jobId=job_id, promptPrivate=True, **telling).json
    assert (token["name"], token["attributes"]) == (words, attributes)

    slug, token_id = token["collection"]["slug"], token["tokenId"]
    assert bob.call("GET", f"/tokens/{token_id}").json["attributes"] == [{"trait_type": "Medium", "value": "oil"}]
    paths = [
        *(f"/api/v1/gallery/{path}" for path in (f"tokens/{token_id}", f"collections/{slug}/tokens", "tokens")),
        f"/api/v1/gallery/tokens/{token_id}/provenance",
        *(f"/v1/{path}" for path in (f"c/{slug}/{token_id}", f"tokens/collection/{slug}", "q/latest-tokens")),
        f"/token/{token_id.removeprefix('0x')}.json",
        *(f"/c/{slug}/{token_id}", f"/c/{slug}", "/gallery"),
        f"/oembed?url={owner.app.stores.settings.public_url}/c/{slug}/{token_id}",
    ]
    views = {path: bob.app.client.get(path, headers={"Authorization": f"Bearer {bob.key}"}) for path in paths}
    assert {path: view.status_code for path, view in views.items()} == dict.fromkeys(paths, 200)
    assert [path for path, view in views.items() if "telescope" in view.text or job_id in view.text] == []
    assert owner.call("GET", f"/v1/c/{slug}/{token_id}").json["workload_id"] == f"0x{job_id}"
    owner.app.stores.redis.delete(job_key(job_id, "image"))
    assert bob.call("GET", f"/v1/c/{slug}/{token_id}").json["workload_id"] == f"0x{job_id}"


def test_an_image_of_the_library_becomes_a_token(owner: Person) -> None:
    """Its own copy, which stays when the image goes."""
    image_id = add_library_image(owner.app.stores, VALID_IMAGES["png"][0])

    token = add(owner, imageId=image_id, name="From the library").json

    owner.app.stores.media.delete("library/test")
    assert token["name"] == "From the library"
    with Image.open(io.BytesIO(fetch(owner, token["media"]["url"]))) as image:
        assert (image.width, image.height) == (token["media"]["width"], token["media"]["height"])


def test_a_file_of_a_form_becomes_a_token(owner: Person) -> None:
    """Fields stand beside it, and attributes are JSON."""
    attributes = [{"trait_type": "Level", "value": 3, "display_type": "number"}]
    form = {
        "file": (io.BytesIO(VALID_IMAGES["moving gif"][0]), "../../etc/passwd"),
        "name": "Moving",
        "amount": "5",
        "attributes": json.dumps(attributes),
        "promptPrivate": "true",
    }

    response = owner.call("POST", "/collections/pictures/tokens", data=form)

    assert response.status_code == 201, response.json
    token = response.json
    assert (token["name"], int(token["amount"], 16), token["attributes"]) == ("Moving", 5, attributes)
    assert token["media"]["type"] == "image/gif"
    assert token["media"]["frames"] > 1
    assert token["promptPrivate"] is True


def test_a_token_without_a_picture_has_an_upload_url(owner: Person) -> None:
    """A PUT to it is enough; above the limit of open uploads no token is left behind or announced."""
    count = owner.call("GET", "/collections/pictures").json["tokenCount"]
    created = [add(owner, name=f"later {number}") for number in range(4)]
    assert [response.status_code for response in created] == [201, 201, 201, 429]
    assert owner.call("GET", "/collections/pictures").json["tokenCount"] == count + 3
    events = EventQueue(owner.app.stores.engine).read(1000)
    assert [event.data.get("name") for event in events].count("later 3") == 0
    assert [event.data.get("name") for event in events].count("later 2") == 1
    token = created[0].json
    assert token["media"]["status"] == "pending"
    url = urlsplit(token["uploadUrl"])
    assert owner.app.client.put(f"{url.path}?{url.query}", data=VALID_IMAGES["png"][0]).status_code == 200

    path = f"/tokens/{token['tokenId']}"
    eventually(lambda: owner.call("GET", path).json["media"]["status"] == "ready")
    refreshed = owner.call("POST", f"{path}/refresh").json
    assert refreshed["refresh"]["done"] == "derived"
    assert refreshed["refreshRequestedAt"]
    assert refreshed["media"]["sha256"] == owner.call("GET", path).json["media"]["sha256"]
    listed = owner.call("GET", "/v1/tokens/collection/pictures?page_size=100").json["result"]
    row = next(row for row in listed if row["tokenId"] == token["tokenId"])
    assert row["token_refresh_requested_at"] == refreshed["refreshRequestedAt"]


def test_pictures_of_tokens_become_profile_pictures_and_thumbnails(owner: Person, bob: Person) -> None:
    """They are PNGs of 64 by 64 pixels, which outlive the token and go with what shows them."""
    form = {"file": (io.BytesIO(encode(draw_image((300, 200)), "JPEG")), "a.jpg"), "name": "Face"}
    token_id = owner.call("POST", "/collections/pictures/tokens", data=form).json["tokenId"]
    bare = owner.create_token("pictures", "bare")
    assert owner.call("PATCH", "/profile", json={"picture": bare}).status_code == 409
    assert bob.call("PATCH", "/profile", json={"picture": token_id}).status_code == 403

    profile = owner.call("PATCH", "/profile", json={"picture": token_id}).json
    collection = owner.call("PATCH", "/collections/pictures", json={"picture": token_id}).json
    owner.call("DELETE", f"/tokens/{token_id}")

    urls = [
        owner.app.client.get(f"/v1/u/{owner.address}").json["image"],
        owner.call("GET", "/v1/c/pictures").json["image"],
    ]
    assert urls == [profile["pictureUrl"], collection["thumbnailUrl"]]
    for url, folder in zip(urls, ("/profile/64x64/", "/collection_thumbnail/64x64/"), strict=True):
        assert folder in url
        with Image.open(io.BytesIO(fetch(owner, url))) as icon:
            assert (icon.format, icon.size) == ("PNG", (64, 64))
    latest = owner.call("GET", "/v1/q/latest-collections").json["result"]
    whole = next(row["image"] for row in latest if row["slug"] == "pictures")
    assert "/images/asset/" in whole
    assert fetch(owner, whole)
    assert owner.call("PATCH", "/profile", json={"picture": None}).json["pictureUrl"] is None
    assert owner.call("PATCH", "/collections/pictures", json={"picture": None}).json["thumbnailUrl"] is None
    for url in urls:
        assert owner.app.client.get(urlsplit(url).path).status_code == 404


def test_a_file_that_is_not_a_picture_leaves_no_token(owner: Person, bob: Person) -> None:
    """Neither do jobs of others or without a picture, unknown images, or mistakes in a form."""
    queued = owner.app.submit("a job without a picture yet")
    before = owner.call("GET", "/collections/pictures").json["tokenCount"]
    for body, status in (
        ({"jobId": queued}, 409),
        ({"jobId": submit_as(bob)}, 404),
        ({"jobId": "x"}, 404),
        ({"jobId": "0" * 32}, 404),
        ({"imageId": 99_999}, 404),
        ({"imageId": 1, "jobId": queued}, 400),
        ({"number": 2}, 400),
        ({"name": ""}, 400),
        ([], 400),
    ):
        response = owner.call("POST", "/collections/pictures/tokens", json=body)
        assert response.status_code == status, (body, response.json)
    for form, field in (
        ({"file": (io.BytesIO(SVG), "a.png")}, ""),
        ({"file": (io.BytesIO(b"x"), "a.png"), "attributes": "{"}, "attributes"),
        ({"file": (io.BytesIO(b"x"), "a.png"), "jobId": queued}, "jobId"),
        ({"name": "no file"}, "file"),
    ):
        response = owner.call("POST", "/collections/pictures/tokens", data=form, content_type="multipart/form-data")
        assert response.status_code == 400, (field, response.json)
        assert field in response.json["error"]["details"][0]
    assert bob.call("POST", "/collections/pictures/tokens", json={"name": "a"}).status_code == 403
    assert owner.call("POST", "/collections/pictures/tokens", data="name=a").status_code == 415
    assert owner.call("GET", "/collections/pictures").json["tokenCount"] == before


def submit_as(bob: Person) -> str:
    """Return the id of a job of another person."""
    response = bob.call("POST", "/api/v1/jobs", json={"prompt": "a job of another person"})
    assert response.status_code == 202
    return str(response.json["id"])
