"""What the gallery's pages make of the values of users."""

from typing import Any

import pytest

from api.gallery.pages import formats
from api.gallery.pages.pictures import RATIOS, build_picture, nearest_ratio
from api.gallery.pages.sharing import MAX_SHARED_BYTES, share_picture
from schemas.gallery.encodings import MAX_UINT256, format_uint256
from schemas.gallery.tokens import MediaStatus, TokenMedia

READY = TokenMedia(MediaStatus.READY, None, "0" * 64, "image/png", 1024, 512, 1, 2_000_000, "a.png", "t.webp")


@pytest.mark.parametrize(
    ("wei", "text"),
    [
        (0, "0 ETH"),
        (1, "0.000000000000000001 ETH"),
        (50_000_000_000_000_000, "0.05 ETH"),
        (10**18, "1 ETH"),
        (1_234_500_000_000_000_000_000, "1,234.5 ETH"),
    ],
)
def test_prices_are_exact(wei: int, text: str) -> None:
    """No digit of a price is lost."""
    assert formats.format_price(wei) == text


def test_editions_name_what_an_amount_means() -> None:
    """One piece needs no words, and the largest number stands for an open edition."""
    amounts = [1, 25, MAX_UINT256, MAX_UINT256 - 1]

    assert [formats.format_edition(format_uint256(amount)) for amount in amounts] == [
        "",
        "Edition of 25",
        "Open edition",
        "Edition of a very large number",
    ]


def test_times_of_listings_may_be_beyond_the_calendar() -> None:
    """A listing that never ends has no end."""
    assert formats.format_listing_time(format_uint256(0x6464EB00)) == "17 May 2023, 14:56 UTC"
    assert formats.format_listing_time(format_uint256(MAX_UINT256)) == "none"


@pytest.mark.parametrize(
    ("attribute", "label", "value"),
    [
        ({"trait_type": "Style", "value": "ember"}, "Style", "ember"),
        ({"value": "ember"}, "Property", "ember"),
        ({"trait_type": "States", "value": 3, "max_value": 5}, "States", "3 of 5"),
        ({"trait_type": "Stamina", "value": 12, "display_type": "boost_percentage"}, "Stamina", "+12 %"),
        ({"trait_type": "Stamina", "value": -4, "display_type": "boost_number"}, "Stamina", "-4"),
        ({"trait_type": "Drawn", "value": 1_546_360_800, "display_type": "date"}, "Drawn", "1 January 2019"),
        ({"trait_type": "Drawn", "value": 10**30, "display_type": "date"}, "Drawn", f"{10**30:,}"),
        ({"trait_type": "Signed", "value": True}, "Signed", "true"),
        ({"trait_type": "Parts", "value": ["a", {"b": None}]}, "Parts", '["a", {"b": null}]'),
        ({"trait_type": None, "value": None}, "Property", "null"),
    ],
)
def test_attributes_are_shown_by_their_display_type(attribute: dict[str, Any], label: str, value: str) -> None:
    """Values of any JSON type have a text."""
    row = formats.format_attribute(attribute)

    assert (row.label, row.value) == (label, value)


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "javascript:alert(1)",
        "JAVASCRIPT:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "//evil.example",
        "https://",
        "https://[",
        "https://example.org/\nx",
        " https://example.org",
        "vbscript:x",
        "/relative",
    ],
)
def test_only_web_addresses_become_links(url: str | None) -> None:
    """Other addresses could run a script."""
    assert formats.format_link(url) is None


def test_links_have_short_labels() -> None:
    """The label is the host and the path."""
    assert formats.format_link("https://www.example.org/mara/") == ("https://www.example.org/mara/", "example.org/mara")
    link = formats.format_link("https://example.org/" + "x" * 500)
    assert link is not None
    assert len(link[1]) == formats.MAX_LABEL_LENGTH


@pytest.mark.parametrize(
    ("width", "height", "ratio"),
    [(512, 512, 100), (640, 960, 67), (1920, 1080, 178), (1, 10_000, 40), (10_000, 1, 250), (None, None, 100)],
)
def test_lists_show_pictures_in_the_nearest_proportions(width: int | None, height: int | None, ratio: int) -> None:
    """Extreme proportions are limited, unknown ones are square."""
    assert nearest_ratio(width, height) == ratio
    assert ratio in RATIOS


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "a.png"),
        ({"size_bytes": MAX_SHARED_BYTES + 1}, "t.webp"),
        ({"type": "image/avif"}, "t.webp"),
        ({"type": "video/mp4", "poster": "p.jpg"}, "t.webp"),
        ({"status": MediaStatus.PENDING}, None),
    ],
)
def test_chats_get_a_picture_that_they_show(changes: dict[str, Any], name: str | None) -> None:
    """Large files and formats that chats do not show are shared as their thumbnail; explicit ones never."""
    fields = {field: getattr(READY, field) for field in READY.__dataclass_fields__}
    media = TokenMedia(**fields | changes)

    shared = share_picture("https://x.example", build_picture(media, is_explicit=False), media)
    assert (shared.url if shared else None) == (f"https://x.example/images/asset/{name}" if name else None)
    assert share_picture("https://x.example", build_picture(media, is_explicit=True), media) is None
