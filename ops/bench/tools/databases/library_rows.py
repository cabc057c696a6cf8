"""A library of up to millions of models, written straight into the tables for benchmarks, without files.

The rows are written before the migration that counts them, whose time is measured.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from ops.bench.tools.databases.gallery_fixture import POSTGRESQL_NUMBERS, SQLITE_NUMBERS
from ops.bench.tools.databases.loading import load_postgresql

BEFORE_COUNTS = "0013"
WORDS = (
    *("ink", "wash", "neon", "portrait", "castle", "winter", "film", "grain", "anime", "retro", "soft", "light"),
    *("harbor", "forest", "machine", "velvet", "copper", "desert", "signal", "paper", "glass", "river", "storm"),
    *("cinder", "meadow", "lantern", "marble", "orchid", "phantom", "quartz", "raven", "saffron", "thunder", "umber"),
)
# Frequent first: models have the values of the product of two random numbers.
CATEGORIES = ("LoRA", "LoRA", "Checkpoint", "Embedding", "ControlNet", "VAE", "Upscaler", "Other")
BASE_MODELS = (
    "SDXL 1.0",
    "SD 1.5",
    "Flux.1 D",
    "Pony",
    "Illustrious",
    "SD 3.5",
    "Wan Video",
    "Hunyuan",
    "Qwen",
    "AuraFlow",
)
CELL = 12
TAGS, CREATORS = 400, 5_000
TAGS_OF_MODEL = 3
MISSING_EVERY, PROBLEM_EVERY, DUPLICATE_EVERY = 40, 199, 90
_RANDOM = re.compile(r"R\((\d+), (\d+)\)")
_WORD = re.compile(r"WORD\((\d+)\)")
WORD_TABLE, CATEGORY_TABLE, BASE_MODEL_TABLE = (
    "".join(value.ljust(CELL) for value in values) for values in (WORDS, CATEGORIES, BASE_MODELS)
)
_ENTRY = "rtrim(substr('{}', CAST(1 + {} * ({}) AS integer), {}))"
CATEGORY = _ENTRY.format(CATEGORY_TABLE, CELL, "R(1, 64) * R(2, 64) / 512", CELL)
BASE_MODEL = _ENTRY.format(BASE_MODEL_TABLE, CELL, "R(3, 60) * R(4, 60) / 360", CELL)
NAME = "WORD(5) || ' ' || WORD(6) || ' ' || i"
FILES = f"CASE WHEN i % {MISSING_EVERY} = 0 THEN 0 ELSE 1 END"
TAG = "'tag ' || ((R({0}, 20) * R({1}, 20) + {2} * 40) % {tags})"
TABLES = {
    "library_models": {
        "id": "i + 1",
        "name": NAME,
        "name_key": NAME,
        "type": CATEGORY,
        "type_key": f"lower({CATEGORY})",
        "category": CATEGORY,
        "category_key": f"lower({CATEGORY})",
        "subcategory": "WORD(7)",
        "subcategory_key": "WORD(7)",
        "base_model": BASE_MODEL,
        "base_model_key": f"lower({BASE_MODEL})",
        "creator_key": "'creator ' || R(8, {creators})",
        "nsfw_level": "CASE WHEN R(9, 10) = 0 THEN 4 ELSE 1 END",
        "civitai_id": "CASE WHEN R(10, 3) = 0 THEN i ELSE NULL END",
        "downloads": "R(11, 90000)",
        "likes": "R(12, 9000)",
        "newest_at": "1600000000000 + R(13, 1000000) * 100000",
        "size_bytes": "1000000 + R(14, 1000000) * 200",
        "dim": "CASE WHEN R(15, 3) = 0 THEN NULL ELSE 8 * (1 + R(15, 16)) END",
        "files": FILES,
        "flags": f"32 + 256 + CASE WHEN R(10, 3) = 0 THEN 1 ELSE 0 END "
        f"+ CASE WHEN i % {DUPLICATE_EVERY} = 0 THEN 16 ELSE 0 END",
    },
    "library_details": {
        "model_id": "i + 1",
        "facts": '\'{{"name": "\' || ' + NAME + ' || \'", "description": "{description}"}}\'',
        "sources": "'{{}}'",
        "search_text": NAME + " || ' ª ' || WORD(16) || ' ' || WORD(17) || ' ' || WORD(18) || ' ª creator ' "
        "|| R(8, {creators}) || ' ª ' || WORD(5) || '_' || i",
    },
    "library_versions": {"id": "i + 1", "model_id": "i + 1", "facts": "'{{}}'", "first_seen": "0"},
    "library_files": {
        "id": "i + 1",
        "version_id": "i + 1",
        "root": "'/models'",
        "path": "BLOB('m/' || i || '.safetensors')",
        "name": "WORD(5) || '_' || i || '.safetensors'",
        "kind": "'safetensors'",
        "inode": "i + 1",
        "size_bytes": "1000000 + R(14, 1000000) * 200",
        "mtime_ns": "i",
        "companions": "''",
        "header": "'{{}}'",
        "content": "'content ' || i",
        "hashes": "'{{}}'",
        "hashed_at": "CASE WHEN R(19, 100) = 0 THEN NULL ELSE 1 END",
        "first_seen": "0",
        "missing_since": f"CASE WHEN i % {MISSING_EVERY} = 0 THEN 1 ELSE NULL END",
    },
    "library_problems": {
        "id": "i + 1",
        "root": "'/models'",
        "path": f"BLOB('m/' || (i * {PROBLEM_EVERY}) || '.safetensors')",
        "subject": f"BLOB('m/' || (i * {PROBLEM_EVERY}) || '.safetensors')",
        "code": "'truncated'",
        "message": "'The file is cut off.'",
        "found_at": "0",
    },
}
TAG_COLUMNS = [
    {"model_id": "i + 1", "key": TAG.format(20 + number, 30 + number, number, tags=TAGS)}
    for number in range(TAGS_OF_MODEL)
]
DESCRIPTION = "A model of things, trained with care on pictures of them. " * 6


@dataclass(frozen=True, slots=True)
class LibraryRows:
    """How many models there are."""

    models: int

    def write(self, url: str) -> None:
        """Write all rows into the empty tables of a database at the revision BEFORE_COUNTS."""
        if url.startswith("sqlite"):
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
                for statement in self._statements(SQLITE_NUMBERS, "CAST({} AS BLOB)"):
                    connection.execute(statement)
                connection.commit()
            return
        statements = self._statements(POSTGRESQL_NUMBERS, "convert_to({}, 'UTF8')")
        sequences = [
            f"SELECT setval('library_{table}_id_seq', {self.models})"
            for table in ("models", "versions", "files", "problems")
        ]
        load_postgresql(url, "library_%", (*statements, *sequences))

    def _statements(self, numbers: str, blob: str) -> Iterator[str]:
        for table, columns in TABLES.items():
            count = self.models // PROBLEM_EVERY if table == "library_problems" else self.models
            values = {name: text.format(creators=CREATORS, description=DESCRIPTION) for name, text in columns.items()}
            yield _insert(table, values, numbers.format(count - 1), blob)
        for columns in TAG_COLUMNS:
            # Of equal tags one stays.
            values = columns | {"label": columns["key"]}
            yield _insert("library_tags", values, numbers.format(self.models - 1), blob) + " ON CONFLICT DO NOTHING"


def _insert(table: str, columns: dict[str, str], numbers: str, blob: str) -> str:
    expressions = ", ".join(_expand(text, blob) for text in columns.values())
    # Table and columns are names of this module.
    return f"{numbers} INSERT INTO {table} ({', '.join(columns)}) SELECT {expressions} FROM n WHERE true"  # noqa: S608


def _expand(text: str, blob: str) -> str:
    """Replace WORD(stream), R(stream, below) and BLOB(text) by SQL."""
    text = _WORD.sub(lambda match: _ENTRY.format(WORD_TABLE, CELL, f"R({match[1]}, {len(WORDS)})", CELL), text)
    if text.startswith("BLOB("):
        text = blob.format(text[len("BLOB(") : -1])
    return _RANDOM.sub(lambda match: _random(int(match[1]), int(match[2])), text)


def _random(stream: int, below: int) -> str:
    """Return SQL for a number below ``below`` that looks random in ``i``, and independent of other streams."""
    first = f"((i + 1) * {2_654_435_761 + 40_503_014 * stream} % 2147483647)"
    return f"({first} * {first} % 2147483629 / 1024 % {below})"
