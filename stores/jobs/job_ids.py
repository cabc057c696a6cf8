"""Ids of jobs: 32 hexadecimal characters that look random and that only this installation can make.

An id is one block of AES: the time at which it was made, random bytes and zeros, encrypted with a key of the
installation. An id that decrypts to the zeros was given to a job, so a job that is no longer there has expired, and
nothing has to be kept to know that. A guess passes for one of them once in 2^40 times, and is then answered as an
expired job instead of an unknown one.

With several Redis servers the last of the random bytes is the mark of the server that has the job.
"""

import hmac
import secrets

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from ops.infra.clock import Clock

PURPOSE = b"darkroom: ids of jobs"
BLOCK_BYTES, TIME_BYTES, RANDOM_BYTES = 16, 4, 7
ZEROS = bytes(BLOCK_BYTES - TIME_BYTES - RANDOM_BYTES)


class JobIds:
    """The ids of one installation, whose processes share ``secret``."""

    def __init__(self, secret: str, clock: Clock, mark: int | None = None) -> None:
        """``mark`` is what every new id carries, 0 to 255."""
        key = hmac.digest(secret.encode(), PURPOSE, "sha256")[:BLOCK_BYTES]
        # One block at a time, each different: what makes this mode unsafe for texts does not arise.
        self._cipher = Cipher(AES(key), ECB())  # noqa: S305
        self._clock = clock
        self._mark = b"" if mark is None else bytes([mark])

    def create(self) -> str:
        """Return a new id."""
        seconds = (self._clock.now_ms() // 1000) % 2 ** (8 * TIME_BYTES)
        random = secrets.token_bytes(RANDOM_BYTES - len(self._mark)) + self._mark
        block = seconds.to_bytes(TIME_BYTES) + random + ZEROS
        return self._cipher.encryptor().update(block).hex()

    def is_issued(self, job_id: str) -> bool:
        """Whether this installation has made the id."""
        return self.read_mark(job_id) is not None

    def read_mark(self, job_id: str) -> int | None:
        """Return the mark of an id of this installation, a random one if it was made without; None of any other."""
        try:
            block = bytes.fromhex(job_id)
        except ValueError:
            return None
        plain = self._cipher.decryptor().update(block) if len(block) == BLOCK_BYTES else b""
        return plain[TIME_BYTES + RANDOM_BYTES - 1] if plain.endswith(ZEROS) else None
