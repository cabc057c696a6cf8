"""Wallet addresses of callers, for clients that expect one: random, permanent, and in EIP-55 form.

No blockchain is involved.
"""

import secrets

from Crypto.Hash import keccak
from sqlalchemy import Engine, insert, select
from sqlalchemy.exc import IntegrityError

from stores.sql import tables
from stores.sql.errors import sql_errors

ADDRESS_BYTES = 20


class WalletAddresses:
    """The addresses in one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get_or_create(self, caller_id: str) -> str:
        """Return the address of a caller, drawn on the first call.

        Raises:
            Unavailable: the database does not answer.
        """
        with sql_errors():
            return self._read(caller_id) or self._create(caller_id)

    def _read(self, caller_id: str) -> str | None:
        table = tables.wallet_addresses
        with self._engine.connect() as connection:
            return connection.execute(select(table.c.address).where(table.c.caller == caller_id)).scalar_one_or_none()

    def _create(self, caller_id: str) -> str:
        address = to_eip55(secrets.token_bytes(ADDRESS_BYTES))
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(tables.wallet_addresses).values(caller=caller_id, address=address))
        except IntegrityError:
            # Another process has created one meanwhile.
            return self._read(caller_id) or address
        return address


def to_eip55(address: bytes) -> str:
    """Format an address with the EIP-55 checksum: a letter is upper case where the hash's digit is 8 or higher."""
    digits = address.hex()
    digest = keccak.new(digest_bits=256, data=digits.encode()).hexdigest()
    return "0x" + "".join(
        digit.upper() if int(mark, 16) >= 8 else digit for digit, mark in zip(digits, digest, strict=False)
    )
