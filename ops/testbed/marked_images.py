"""The pictures of the hostile site: each carries a number in its pixels, so that nobody can take it for another.

Painted by ``ops.testbed.hostile_site``; read by whoever checks what a job has got. Sixty-four blocks, black or white:
32 bits of the number, 16 of the site's own ticket, 16 of a check sum. They survive JPEG and scaling.
"""

import functools
import io
import zlib

from PIL import Image, UnidentifiedImageError

SIDE = 8
BLOCK_PX = 12
BITS = SIDE * SIDE
BLACK, WHITE = 40, 215
MIDDLE = 128


@functools.cache
def draw(nonce: int, ticket: int, image_format: str = "PNG") -> bytes:
    """A picture that carries ``nonce`` (below 2**32) and ``ticket`` (its lowest 16 bits)."""
    head = (nonce & 0xFFFFFFFF) << 16 | ticket & 0xFFFF
    word = head << 16 | _checksum(head)
    bits = bytes(WHITE if word >> (BITS - 1 - place) & 1 else BLACK for place in range(BITS))
    small = Image.frombytes("L", (SIDE, SIDE), bits)
    out = io.BytesIO()
    small.resize((SIDE * BLOCK_PX, SIDE * BLOCK_PX), Image.Resampling.NEAREST).convert("RGB").save(out, image_format)
    return out.getvalue()


def read(data: bytes) -> tuple[int, int] | None:
    """The nonce and the ticket that a picture carries; None if it carries none."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    except (UnidentifiedImageError, OSError):
        return None
    word = 0
    for value in small.tobytes():
        word = word << 1 | int(value > MIDDLE)
    head, check = word >> 16, word & 0xFFFF
    return (head >> 16, head & 0xFFFF) if check == _checksum(head) else None


def _checksum(head: int) -> int:
    return zlib.crc32(head.to_bytes(6)) & 0xFFFF
