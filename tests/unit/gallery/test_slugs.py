"""Slugs made from names, and the form of given ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Invalid
from schemas.gallery.slugs import MAX_SLUG_LENGTH, SLUG, check_slug, is_forbidden, make_slug, suggest_slugs


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("The Rabbit Pact", "the-rabbit-pact"),
        ("R.E.D. #001", "r-e-d-001"),
        ("Don\u2019t  stop!", "dont-stop"),
        ("Ёлка и 漢字", "elka-i-hanzi"),
        ("Straße / Ça va", "strasse-ca-va"),
        ("مرحبا", "mrhb"),
        ("😀", "grinning"),
        ("—  ! ", "untitled"),
        ("", "untitled"),
        ("x" * 500, "x" * MAX_SLUG_LENGTH),
    ],
)
def test_a_name_becomes_kebab_case_in_ascii(name: str, slug: str) -> None:
    """Letters of other scripts are transliterated; a name without any gets a neutral slug."""
    assert make_slug(name) == slug


@given(st.text(max_size=300))
def test_every_name_makes_a_valid_slug(name: str) -> None:
    """The same holds for suggested slugs."""
    slug = make_slug(name)
    assert check_slug(slug) == slug
    for suggestion in suggest_slugs(slug, 3):
        assert SLUG.fullmatch(suggestion)
        assert len(suggestion) <= MAX_SLUG_LENGTH
        assert not is_forbidden(suggestion)


@pytest.mark.parametrize("slug", ["", "A", "a--b", "-a", "a-", "a b", "ä", "a/b", "a" * 81, "a_b"])
def test_given_slugs_must_be_kebab_case(slug: str) -> None:
    """The error suggests one that is."""
    with pytest.raises(Invalid) as caught:
        check_slug(slug)

    assert check_slug(caught.value.details["suggestion"])


def test_slugs_that_collide_with_paths_are_forbidden() -> None:
    """An address of any case is too; its suggestion is not one."""
    address = "0x" + "ab" * 20

    assert all(map(is_forbidden, ("virtual", "next", "token", "slug-from-id", address)))
    assert suggest_slugs(address, 1) == [f"c-{address}-2"]
