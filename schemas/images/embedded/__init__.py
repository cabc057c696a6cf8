"""Reading how a picture was made from what its file or its pixels carry. Pure: bytes in, a ``Generation`` out.

Nothing here raises, whatever the bytes; all of it is bounded.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Any

from schemas.images.containers.stealth_png import read_stealth_text
from schemas.images.containers.text_chunks import read_text_chunks
from schemas.images.embedded.a1111.reader import read_a1111
from schemas.images.embedded.builder import combine
from schemas.images.embedded.comfyui.reader import read_comfyui
from schemas.images.embedded.detection import texts_by_keyword
from schemas.images.embedded.fooocus import read_fooocus
from schemas.images.embedded.invokeai import read_dream, read_invokeai_metadata, read_sd_metadata
from schemas.images.embedded.novelai import read_novelai
from schemas.images.embedded.swarmui import read_swarmui
from schemas.images.generation_params import GenerationParams

# Each reads the texts that are its own; where several find something, the earlier is believed.
READERS: tuple[Callable[[Mapping[str, Any]], GenerationParams | None], ...] = (
    read_swarmui,
    read_fooocus,
    read_invokeai_metadata,
    read_sd_metadata,
    read_dream,
    read_novelai,
    read_a1111,
    read_comfyui,
)


def read_generation_params(data: bytes) -> GenerationParams | None:
    """What a PNG, JPEG, WebP or GIF file carries as text; None if that is nothing, or the bytes are none of these."""
    texts = read_text_chunks(data)
    return _generation(texts.by_keyword, texts.unkeyed)


def read_stealth_params(rgba: bytes, width: int, height: int) -> GenerationParams | None:
    """What the lowest bits of decoded pixels carry: four bytes each, row by row, of such a size in pixels."""
    text = read_stealth_text(rgba, width, height)
    return _generation({}, [text]) if text else None


def _generation(named: Mapping[str, str], loose: Iterable[str]) -> GenerationParams | None:
    said = texts_by_keyword(named, loose)
    found = [one for read in READERS if (one := read(said))]
    return reduce(combine, found) if found else None
