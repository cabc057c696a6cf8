"""Encodings of the gallery on the wire, with the examples of the public documentation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Invalid, NotFound
from schemas.gallery.encodings import (
    MAX_UINT256,
    format_uint256,
    is_address,
    iso_time,
    json_number,
    parse_token_id,
    parse_uint256,
    token_uri,
)

TOKEN_ID = "0x1bec0e6266e97f0c7c42aa720959e46598dd8ce100000000000000000000004e"


@given(st.integers(0, MAX_UINT256))
def test_numbers_round_trip(number: int) -> None:
    """Every number has 64 digits, and is read in either case."""
    text = format_uint256(number)

    assert len(text) == 66
    assert parse_uint256(text) == parse_uint256("0x" + text[2:].upper()) == number


@pytest.mark.parametrize("text", ["", "0x", "1", "-0x1", "0x" + "1" * 65, "0xg", "0x1\n", "0x１"])  # noqa: RUF001
def test_malformed_numbers_are_invalid(text: str) -> None:
    """What web3 libraries produce from negative numbers is refused too."""
    with pytest.raises(Invalid):
        parse_uint256(text)


@pytest.mark.parametrize("number", [-1, MAX_UINT256 + 1])
def test_numbers_beyond_256_bits_are_invalid(number: int) -> None:
    """They have no encoding."""
    with pytest.raises(Invalid):
        format_uint256(number)


def test_a_token_id_is_read_in_any_case() -> None:
    """Its metadata URL has the digits without the prefix."""
    assert parse_token_id(TOKEN_ID.upper().replace("0X", "0x")) == TOKEN_ID
    assert token_uri("https://a.test", TOKEN_ID) == f"https://a.test/token/{TOKEN_ID[2:]}.json"


@pytest.mark.parametrize("text", ["undefined", "", TOKEN_ID[:-1], f"{TOKEN_ID}0", TOKEN_ID[2:], f"{TOKEN_ID}\n"])
def test_a_malformed_token_id_is_not_found(text: str) -> None:
    """It is answered like an unknown id."""
    with pytest.raises(NotFound):
        parse_token_id(text)


def test_addresses_times_and_scores_have_the_documented_form() -> None:
    """Addresses in any case, times in milliseconds, whole numbers without a fraction."""
    assert is_address("0x4b3887515Cd5A0deEaBd6b59f0B8CC87d3608c95")
    assert not is_address("sonic-vibration")
    assert iso_time(1_684_335_341_218) == "2023-05-17T14:55:41.218Z"
    assert [str(json_number(score)) for score in (0.0, 0.25)] == ["0", "0.25"]
