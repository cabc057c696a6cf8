"""The addresses by which callers are known to clients that expect a wallet's: random ones, kept for good.

Nothing is behind them: Darkroom has no blockchain.
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
        """Nothing is asked yet."""
        self._engine = engine

    def get_or_create(self, caller_id: str) -> str:
        """The address of a caller, given on the first question.

        Raises:
            Unavailable: the database does not answer.
        """
        with sql_errors():
            return self._read(caller_id) or self._give(caller_id)

    def _read(self, caller_id: str) -> str | None:
        query = select(tables.wallet_addresses.c.address).where(tables.wallet_addresses.c.caller == caller_id)
        with self._engine.connect() as connection:
            return connection.execute(query).scalar_one_or_none()

    def _give(self, caller_id: str) -> str:
        address = to_eip55(secrets.token_bytes(ADDRESS_BYTES))
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(tables.wallet_addresses).values(caller=caller_id, address=address))
        except IntegrityError:
            # Another process was faster.
            return self._read(caller_id) or address
        return address


def to_eip55(address: bytes) -> str:
    """An address as EIP-55 writes it: letters are capital where the digest of the small ones has a high digit."""
    digits = address.hex()
    digest = keccak.new(digest_bits=256, data=digits.encode()).hexdigest()
    return "0x" + "".join(
        digit.upper() if int(mark, 16) >= 8 else digit for digit, mark in zip(digits, digest, strict=False)
    )
