"""Access rights that hold for the tests' thread, also when it runs as root."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

CAPABILITY_VERSION = 0x20080522
DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2
# Effective, permitted and inheritable capabilities, each as two words, by word.
Words = ctypes.c_uint32 * 6
EFFECTIVE = 0


@contextmanager
def obeying_file_modes() -> Iterator[None]:
    """Take from the calling thread the rights by which root reads files whatever their mode."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    words = Words()
    _check(libc.capget(header, words))
    before = words[EFFECTIVE]
    words[EFFECTIVE] &= ~(1 << DAC_OVERRIDE | 1 << DAC_READ_SEARCH)
    _check(libc.capset(header, words))
    try:
        yield
    finally:
        words[EFFECTIVE] = before
        _check(libc.capset(header, words))


def _check(result: int) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
