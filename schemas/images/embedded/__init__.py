"""Reads the generation parameters embedded in an image: bytes or pixels in, ``GenerationParams`` out.

Nothing here raises, whatever the bytes; time and memory are bounded. ``docs/decisions/0015-generation-parsers.md`` says
why no library is used.
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
from schemas.images.embedded.draw_things import read_draw_things
from schemas.images.embedded.fooocus import read_fooocus
from schemas.images.embedded.invokeai import read_dream, read_invokeai_metadata, read_sd_metadata
from schemas.images.embedded.novelai import read_novelai
from schemas.images.embedded.swarmui import read_swarmui
from schemas.images.generation_params import GenerationParams

# One reader per program and format, from the most specific to the most general: earlier results take precedence.
READERS: tuple[Callable[[Mapping[str, Any]], GenerationParams | None], ...] = (
    read_swarmui,
    read_fooocus,
    read_invokeai_metadata,
    read_sd_metadata,
    read_dream,
    read_novelai,
    read_draw_things,
    read_a1111,
    read_comfyui,
)


def read_generation_params(data: bytes) -> GenerationParams | None:
    """Read the parameters from the texts of a PNG, JPEG, WebP, GIF or AVIF file; None if it has none."""
    texts = read_text_chunks(data)
    return _read_texts(texts.by_keyword, texts.unkeyed)


def read_stealth_params(rgba: bytes, width: int, height: int) -> GenerationParams | None:
    """Read the parameters from the lowest bits of decoded pixels, four bytes each, row by row; None if none."""
    text = read_stealth_text(rgba, width, height)
    return _read_texts({}, [text]) if text else None


def _read_texts(by_keyword: Mapping[str, str], unkeyed: Iterable[str]) -> GenerationParams | None:
    texts = texts_by_keyword(by_keyword, unkeyed)
    results = [params for read in READERS if (params := read(texts))]
    return reduce(combine, results) if results else None
