"""The images of the test programs: deterministic, so that a test can tell which prompt an image is for."""

import hashlib

from PIL import Image

STEPS = 4


def render_image(
    text: str, number: int = 0, size: tuple[int, int] = (256, 192), brightness: float = 1.0
) -> Image.Image:
    """Return an image of 4 x 2 plain fields whose colours are derived from ``text`` and ``number``."""
    digest = hashlib.sha256(f"{text}|{number}".encode()).digest()
    image = Image.new("RGB", (4, 2))
    for field in range(8):
        colour = tuple(round(value * brightness) for value in digest[3 * field : 3 * field + 3])
        image.putpixel((field % 4, field // 4), colour)
    return image.resize(size, Image.Resampling.NEAREST)


def is_image_of(image: Image.Image, text: str, number: int = 0) -> bool:
    """Whether a finished image, in any format and compression, was rendered for ``text`` and ``number``."""
    expected = render_image(text, number, image.size)
    centres = [(image.width * (2 * x + 1) // 8, image.height * (2 * y + 1) // 4) for x in range(4) for y in range(2)]
    pairs = [(image.convert("RGB").getpixel(centre), expected.getpixel(centre)) for centre in centres]
    return all(abs(a - b) < 24 for actual, drawn in pairs for a, b in zip(actual, drawn, strict=True))
