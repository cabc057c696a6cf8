"""Profiles: one for each caller, with unique usernames."""

import pytest

from schemas.errors import Conflict, Invalid
from schemas.gallery.profiles import Profile
from stores.gallery import Gallery
from tests.contract.gallery.conftest import ALICE, BOB, run_at_once


def test_a_profile_is_found_by_its_address_in_any_case(gallery: Gallery) -> None:
    """It is created once, also by concurrent calls."""
    first, *others = run_at_once(4, lambda _: gallery.profiles.get_or_create(ALICE))

    assert isinstance(first, Profile)
    assert others == [first] * 3
    assert gallery.profiles.get_by_address(first.address.upper().replace("0X", "0x")) == first
    assert gallery.profiles.get_by_address("0x" + "0" * 40) is None


def test_changes_are_kept_and_unknown_fields_refused(gallery: Gallery) -> None:
    """A new Twitter name is not verified."""
    changes = {"username": "zkBrain", "bio": "$ /dev/null", "link": "https://example.org", "twitter": "zk"}
    profile = gallery.profiles.update(ALICE, changes | {"twitter_verified": True})
    assert {name: getattr(profile, name) for name in changes} == changes
    assert profile.twitter_verified
    assert not gallery.profiles.update(ALICE, {"twitter": "other"}).twitter_verified
    assert gallery.profiles.update(ALICE, {"username": None}).username is None

    with pytest.raises(Invalid) as caught:
        gallery.profiles.update(ALICE, {"address": "0x"})
    assert "address" in caught.value.problems[0]


def test_a_taken_username_is_refused_with_a_free_suggestion(gallery: Gallery) -> None:
    """Case and Unicode forms do not make a difference; one's own name is free to be spelled otherwise."""
    gallery.profiles.update(ALICE, {"username": "Zoë"})
    with pytest.raises(Conflict) as caught:
        gallery.profiles.update(BOB, {"username": "ZOE\N{COMBINING DIAERESIS}"})

    suggestion = caught.value.details["suggestion"]
    assert gallery.profiles.update(BOB, {"username": suggestion}).username == suggestion
    assert gallery.profiles.update(ALICE, {"username": "zoë"}).username == "zoë"


def test_concurrent_claims_of_one_username_have_one_winner(gallery: Gallery) -> None:
    """The others get a suggestion."""
    results = run_at_once(6, lambda number: gallery.profiles.update(f"caller{number}", {"username": "kay"}))

    assert len([result for result in results if isinstance(result, Profile)]) == 1
    assert {result.details["suggestion"] for result in results if isinstance(result, Conflict)} == {"kay-2"}
