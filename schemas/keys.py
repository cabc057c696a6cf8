"""Owns who a request comes from: the caller behind an API key.

Made by ``stores.keys``, passed through ``api`` to every store that keeps things apart by owner.
"""

from dataclasses import dataclass

OWNER = "owner"
ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Caller:
    """The owner of a key.

    ``id`` is ``owner`` for the key that Darkroom made on its first boot, else the id of the key's row.
    """

    id: str
    name: str
