"""Reading how a picture was made from what its file or its pixels carry. Pure: bytes in, a ``Generation`` out.

Nothing here raises, whatever the bytes; all of it is bounded.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Any

from schemas.images.containers.stealth_png import read_stealth_text
from schemas.images.containers.text_chunks import read_texts
from schemas.images.embedded.a1111.reader import read_a1111
from schemas.images.embedded.builder import joined
from schemas.images.embedded.comfyui.reader import read_comfyui
from schemas.images.embedded.detection import said_in
from schemas.images.embedded.fooocus import read_fooocus
from schemas.images.embedded.invokeai import read_dream, read_metadata, read_sd_metadata
from schemas.images.embedded.novelai import read_novelai
from schemas.images.embedded.swarmui import read_swarmui
from schemas.images.generation_params import Generation

# Each reads the texts that are its own; where several find something, the earlier is believed.
PROGRAMS: tuple[Callable[[Mapping[str, Any]], Generation | None], ...] = (
    read_swarmui,
    read_fooocus,
    read_metadata,
    read_sd_metadata,
    read_dream,
    read_novelai,
    read_a1111,
    read_comfyui,
)


def read_generation(data: bytes) -> Generation | None:
    """What a PNG, JPEG, WebP or GIF file carries as text; None if that is nothing, or the bytes are none of these."""
    texts = read_texts(data)
    return _generation(texts.named, texts.loose)


def read_stealth(rgba: bytes, width: int, height: int) -> Generation | None:
    """What the lowest bits of decoded pixels carry: four bytes each, row by row, of such a size in pixels."""
    text = read_stealth_text(rgba, width, height)
    return _generation({}, [text]) if text else None


def _generation(named: Mapping[str, str], loose: Iterable[str]) -> Generation | None:
    said = said_in(named, loose)
    found = [one for read in PROGRAMS if (one := read(said))]
    return reduce(joined, found) if found else None
