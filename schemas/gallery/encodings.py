"""The encodings of the gallery's values on the wire: addresses, token ids, 256-bit numbers and times.

The wire format is that of ERC-1155 contracts; there is no blockchain behind it.
"""

import re
from datetime import UTC, datetime

from schemas.errors import Invalid, NotFound

# All virtual collections share this contract.
VIRTUAL_CONTRACT = "0x4b3887515Cd5A0deEaBd6b59f0B8CC87d3608c95"
CONTRACT_TYPE = "ERC1155"
MAX_UINT256 = 2**256 - 1
NO_SUCH_TOKEN = "There is no token with that id."  # noqa: S105 - a message
_ADDRESS = re.compile(r"0x[0-9a-f]{40}", re.ASCII)
_TOKEN_ID = re.compile(r"0x[0-9a-f]{64}", re.ASCII)
_UINT256 = re.compile(r"0x[0-9a-f]{1,64}", re.ASCII)


def is_address(text: str) -> bool:
    """Return whether ``text`` is an address, in any case."""
    return _ADDRESS.fullmatch(text.lower()) is not None


def is_virtual_contract(text: str) -> bool:
    """Return whether ``text`` is the address of the contract that all virtual collections share."""
    return text.lower() == VIRTUAL_CONTRACT.lower()


def parse_token_id(text: str) -> str:
    """Return a token id in lower case; raise NotFound if it is malformed, as for an unknown one."""
    token_id = text.lower()
    if _TOKEN_ID.fullmatch(token_id) is None:
        raise NotFound(NO_SUCH_TOKEN)
    return token_id


def parse_uint256(text: str) -> int:
    """Return the number of ``0x`` and up to 64 hexadecimal digits, in any case; raise Invalid otherwise."""
    if _UINT256.fullmatch(text.lower()) is None:
        raise Invalid("must be '0x' and 1 to 64 hexadecimal digits.")
    return int(text, 16)


def format_uint256(number: int) -> str:
    """Return ``0x`` and 64 lower-case hexadecimal digits.

    Raises:
        Invalid: the number does not fit into 256 bits.
    """
    if not 0 <= number <= MAX_UINT256:
        raise Invalid("must be between 0 and 2^256 - 1.")
    return f"0x{number:064x}"


def token_uri(public_url: str, token_id: str) -> str:
    """Return the URL of a token's metadata, by the substitution rule of ERC-1155: lower case, padded, no prefix."""
    return f"{public_url}/token/{token_id.removeprefix('0x')}.json"


def iso_time(time_ms: int) -> str:
    """Return a time in Unix milliseconds as ISO 8601 in UTC, such as ``2023-05-17T14:55:41.218Z``."""
    time = datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return time.replace("+00:00", "Z")


def json_number(number: float) -> int | float:
    """Return a whole number as an integer, so that JSON has ``0`` and not ``0.0``."""
    return int(number) if float(number).is_integer() else number
