"""Wallet addresses of callers, for clients that expect one: random, permanent, and in EIP-55 form.

No blockchain is involved.
"""

import secrets

from Crypto.Hash import keccak
from sqlalchemy import Engine, select

from stores.sql import tables
from stores.sql.database import Database

ADDRESS_BYTES = 20


class WalletAddresses:
    """The addresses in one database."""

    def __init__(self, engine: Engine) -> None:
        self._database = Database(engine)

    def get_or_create(self, caller_id: str) -> str:
        """Return the address of a caller, drawn on the first call.

        Raises:
            Unavailable: the database does not answer.
        """
        return self._read(caller_id) or self._create(caller_id)

    def _read(self, caller_id: str) -> str | None:
        table = tables.wallet_addresses
        with self._database.read() as connection:
            return connection.execute(select(table.c.address).where(table.c.caller == caller_id)).scalar_one_or_none()

    def _create(self, caller_id: str) -> str:
        address = to_eip55(secrets.token_bytes(ADDRESS_BYTES))
        with self._database.write() as connection:
            # Another process may have created one meanwhile; its address is the caller's.
            connection.execute(
                self._database.insert_or_ignore(tables.wallet_addresses).values(caller=caller_id, address=address)
            )
        return self._read(caller_id) or address


def to_eip55(address: bytes) -> str:
    """Format an address with the EIP-55 checksum: a letter is upper case where the hash's digit is 8 or higher."""
    digits = address.hex()
    digest = keccak.new(digest_bits=256, data=digits.encode()).hexdigest()
    return "0x" + "".join(
        digit.upper() if int(mark, 16) >= 8 else digit for digit, mark in zip(digits, digest, strict=False)
    )
