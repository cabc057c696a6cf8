"""Images that carry a number in their pixels, so that a wrong image in a job can be detected.

64 black or white blocks hold 32 bits of the nonce, 16 bits of the site's generation number and a 16-bit checksum. They
survive JPEG compression and scaling.
"""

import functools
import io
import zlib

from PIL import Image, UnidentifiedImageError

SIDE = 8
BLOCK_PX = 12
BITS = SIDE * SIDE
BLACK, WHITE = 40, 215
THRESHOLD = 128


@functools.cache
def draw(nonce: int, number: int, image_format: str = "PNG") -> bytes:
    """Return an image that carries ``nonce`` (below 2**32) and the lowest 16 bits of ``number``."""
    head = (nonce & 0xFFFFFFFF) << 16 | number & 0xFFFF
    word = head << 16 | _checksum(head)
    pixels = bytes(WHITE if word >> (BITS - 1 - bit) & 1 else BLACK for bit in range(BITS))
    small = Image.frombytes("L", (SIDE, SIDE), pixels)
    out = io.BytesIO()
    large = small.resize((SIDE * BLOCK_PX, SIDE * BLOCK_PX), Image.Resampling.NEAREST)
    large.convert("RGB").save(out, image_format)
    return out.getvalue()


def read(data: bytes) -> tuple[int, int] | None:
    """Return the nonce and the number that an image carries; None if it carries none."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    except (UnidentifiedImageError, OSError):
        return None
    word = 0
    for value in small.tobytes():
        word = word << 1 | int(value > THRESHOLD)
    head, checksum = word >> 16, word & 0xFFFF
    return (head >> 16, head & 0xFFFF) if checksum == _checksum(head) else None


def _checksum(head: int) -> int:
    return zlib.crc32(head.to_bytes(6)) & 0xFFFF
