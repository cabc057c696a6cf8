"""Assets: names of objects, and the sweep of objects without a name."""

import pytest

from schemas.errors import Conflict, NotFound, Unavailable
from schemas.gallery.assets import Asset
from schemas.gallery.collections import Collection, NewCollection
from schemas.gallery.tokens import MediaStatus, TokenMedia
from stores.gallery import Gallery
from stores.gallery.assets import DELETION_MS
from tests.conftest import FakeClock
from tests.contract.gallery.conftest import ALICE, add_tokens


def asset(name: str, media_key: str = "gallery/one.png") -> Asset:
    """A name of an object."""
    return Asset(name * 21 + ".png", media_key, "image/png", "0" * 64, 10)


def sweep(gallery: Gallery, clock: FakeClock) -> list[str]:
    """Sweep everything that was held before now; the keys of the deleted objects."""
    deleted: list[str] = []
    while gallery.assets.sweep(clock.now_ms(), deleted.append):
        pass
    return deleted


def test_objects_are_swept_some_time_after_their_last_name_is_released(gallery: Gallery, clock: FakeClock) -> None:
    """A held object is kept although it has no name yet; one that was never named is swept too."""
    gallery.assets.hold(["gallery/one.png", "gallery/two.png"])
    assert sweep(gallery, clock) == []
    gallery.assets.add([asset("a"), asset("b")])
    clock.advance(1)
    assert sweep(gallery, clock) == ["gallery/two.png"]

    gallery.assets.release([asset("a").name, "never-was.png"])
    clock.advance(1)
    assert sweep(gallery, clock) == []
    gallery.assets.release([asset("b").name])
    assert sweep(gallery, clock) == []
    clock.advance(1)
    gallery.assets.hold(["gallery/one.png"])
    assert sweep(gallery, clock) == []
    assert gallery.assets.list_media_keys() == ["gallery/one.png"]
    clock.advance(1)
    assert sweep(gallery, clock) == ["gallery/one.png"]
    with pytest.raises(NotFound):
        gallery.assets.find(asset("b").name)


def test_an_object_that_cannot_be_deleted_is_swept_again(gallery: Gallery, clock: FakeClock) -> None:
    """The row of the object stays; until the lost deletion can no longer take effect, others are swept first."""
    gallery.assets.hold(["gallery/one.png"])
    clock.advance(1)
    gallery.assets.hold(["gallery/two.png"])
    clock.advance(1)

    def fail(_: str) -> None:
        raise Unavailable

    with pytest.raises(Unavailable):
        gallery.assets.sweep(clock.now_ms(), fail)
    assert sweep(gallery, clock) == ["gallery/two.png"]
    with pytest.raises(Unavailable, match="being deleted"):
        gallery.assets.hold(["gallery/one.png"])
    clock.advance(DELETION_MS / 1000 + 1)
    assert sweep(gallery, clock) == ["gallery/one.png"]


def test_other_writes_continue_while_the_media_store_deletes_an_object(gallery: Gallery, clock: FakeClock) -> None:
    """Others write meanwhile; only that object cannot be held, and a holder that comes later keeps what it puts."""
    gallery.assets.hold(["gallery/one.png"])
    clock.advance(1)

    def delete_slowly(_: str) -> None:
        gallery.collections.create(ALICE, NewCollection("Meanwhile"))
        gallery.assets.hold(["gallery/two.png"])
        assert not gallery.assets.sweep(clock.now_ms(), deleted.append)
        with pytest.raises(Unavailable, match="being deleted"):
            gallery.assets.add([asset("a")])

    def delete_too_slowly(_: str) -> None:
        clock.advance(DELETION_MS / 1000 + 1)
        gallery.assets.hold(["gallery/one.png"])

    deleted: list[str] = []
    assert gallery.assets.sweep(clock.now_ms(), delete_slowly)
    assert gallery.assets.list_media_keys() == ["gallery/two.png"]
    gallery.assets.hold(["gallery/one.png"])
    clock.advance(1)
    gallery.assets.hold(["gallery/two.png"])
    assert gallery.assets.sweep(clock.now_ms(), delete_too_slowly)
    assert gallery.assets.list_media_keys() == ["gallery/one.png", "gallery/two.png"]


def test_a_tokens_assets_are_those_of_its_picture(gallery: Gallery, collection: Collection, clock: FakeClock) -> None:
    """A new picture releases the old names; so does deleting the token. A deleted token gets no picture."""
    token = add_tokens(gallery, collection, "one")[0]
    first = TokenMedia(MediaStatus.READY, asset=asset("a").name, thumb=asset("b", "gallery/thumb.png").name)
    gallery.tokens.attach_media(token.token_id, first, [asset("a"), asset("b", "gallery/thumb.png")])
    second = TokenMedia(MediaStatus.READY, asset=asset("a").name, thumb=asset("c", "gallery/new.png").name)
    assert gallery.tokens.attach_media(token.token_id, second, [asset("c", "gallery/new.png")]).media == second
    clock.advance(1)
    assert sweep(gallery, clock) == ["gallery/thumb.png"]
    late = TokenMedia(MediaStatus.READY, asset=asset("d").name)
    with pytest.raises(Conflict):
        gallery.tokens.attach_media(token.token_id, late, [asset("d")], expected_asset=asset("b").name)
    assert gallery.tokens.find(token.token_id).media == second

    gallery.tokens.delete(ALICE, token.token_id)
    clock.advance(1)
    assert sorted(sweep(gallery, clock)) == ["gallery/new.png", "gallery/one.png"]
    with pytest.raises(NotFound):
        gallery.tokens.attach_media(token.token_id, second, [asset("d")])
    with pytest.raises(NotFound):
        gallery.assets.find(asset("d").name)


def test_a_new_thumbnail_or_profile_image_releases_the_old_one(
    gallery: Gallery, collection: Collection, clock: FakeClock
) -> None:
    """Deleting the collection releases its thumbnail."""
    new = [asset(name, f"gallery/{name}.png") for name in "abcd"]
    gallery.assets.add(new)
    for item in new[:2]:
        gallery.collections.update(ALICE, collection.id, {"thumbnail": item.name})
    for item in new[2:]:
        gallery.profiles.update(ALICE, {"image": item.name})
    clock.advance(1)
    assert sorted(sweep(gallery, clock)) == ["gallery/a.png", "gallery/c.png"]

    gallery.collections.delete(ALICE, collection.id)
    clock.advance(1)
    assert sweep(gallery, clock) == ["gallery/b.png"]
