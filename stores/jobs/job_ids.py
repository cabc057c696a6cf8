"""Ids of jobs: 32 hexadecimal characters that look random and that only this installation can make.

An id is one block of AES: the time at which it was made, random bytes and zeros, encrypted with a key of the
installation. An id that decrypts to the zeros was given to a job, so a job that is no longer there has expired, and
nothing has to be kept to know that. A guess passes for one of them once in 2^40 times, and is then answered as an
expired job instead of an unknown one.
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

    def __init__(self, secret: str, clock: Clock) -> None:
        key = hmac.digest(secret.encode(), PURPOSE, "sha256")[:BLOCK_BYTES]
        # One block at a time, each different: what makes this mode unsafe for texts does not arise.
        self._cipher = Cipher(AES(key), ECB())  # noqa: S305
        self._clock = clock

    def create(self) -> str:
        """Return a new id."""
        seconds = (self._clock.now_ms() // 1000) % 2 ** (8 * TIME_BYTES)
        block = seconds.to_bytes(TIME_BYTES) + secrets.token_bytes(RANDOM_BYTES) + ZEROS
        return self._cipher.encryptor().update(block).hex()

    def is_issued(self, job_id: str) -> bool:
        """Whether this installation has made the id."""
        try:
            block = bytes.fromhex(job_id)
        except ValueError:
            return False
        return len(block) == BLOCK_BYTES and self._cipher.decryptor().update(block).endswith(ZEROS)
