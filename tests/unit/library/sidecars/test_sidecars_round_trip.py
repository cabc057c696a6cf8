"""Written sidecars read back the same, and no document breaks a reader."""

import contextlib
import json
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.format_error import FormatError
from schemas.library.formats.hashes import HEX_LENGTHS, normalize_hashes
from schemas.library.metadata import CivitaiFile, CivitaiVersion, ImageMetadata, Metadata, Source, merge_metadata
from schemas.library.path_rules import title_from_stem
from schemas.library.sanitize import clean_line, clean_multiline
from schemas.library.sidecars import (
    SUPPORTED_FIELDS,
    LocalFile,
    civitdl,
    find_previews,
    find_sidecars,
    read_sidecar,
    write_sidecar,
)
from schemas.library.sidecars.a1111 import BASE_MODEL_BY_FAMILY
from schemas.library.sidecars.civitai_reader import STAT_NAMES

EASILY = settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow], deadline=None)
LINES = st.text(max_size=30).map(clean_line).filter(bool)
TEXTS = st.text(max_size=60).map(clean_multiline).filter(bool)
IDS = st.integers(1, 2**63 - 1)
HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
HASHES = st.fixed_dictionaries(
    {}, optional={name: HEX.map(lambda text, n=n: text[:n]) for name, n in HEX_LENGTHS.items()}
)
TIMES = st.datetimes().map(lambda moment: moment.replace(microsecond=0).isoformat() + "Z")
STAT_VALUES = st.integers(0, 2**53 - 1) | st.floats(0, 5)
STATISTICS = st.dictionaries(st.sampled_from(STAT_NAMES), STAT_VALUES, max_size=4)
LEVELS = st.integers(1, 63)
NUMBERS = st.floats(-100, 100).filter(bool)


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return the strategy, or None."""
    return st.none() | strategy


def unique_tuples(strategy: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[Any]:
    """Return tuples of unique values."""
    return st.lists(strategy, max_size=most, unique=True).map(tuple)


RESOURCES = st.fixed_dictionaries(
    {"kind": st.sampled_from(["checkpoint", "lora", "lycoris", "vae", "embedding", "hypernetwork", "other"])},
    optional={
        "name": LINES.filter(lambda name: not name.startswith("urn:")),
        "hash": HEX.map(lambda text: text[:10]),
        "weight": NUMBERS,
        "civitai_version_id": IDS,
    },
).filter(lambda resource: len(resource) > 1)
SIZES = st.integers(1, 99_999)
PARAMS = st.builds(
    lambda params, size: params | size,
    st.fixed_dictionaries(
        {},
        optional={
            "negative_prompt": TEXTS,
            "seed": st.integers(0, 2**64 - 1),
            "steps": st.integers(0, 10**6),
            "cfg_scale": NUMBERS,
            "sampler": LINES,
            "scheduler": LINES,
            "clip_skip": st.integers(1, 12),
            "denoise": NUMBERS,
            "model": LINES,
            "resources": st.lists(RESOURCES, min_size=1, max_size=2),
            "workflow": st.dictionaries(LINES, LINES, min_size=1, max_size=2),
        },
    ),
    st.just({}) | st.fixed_dictionaries({"width": SIZES, "height": SIZES}),
)
FILES = st.from_regex(r"[a-z0-9]{1,8}\.(png|jpeg)", fullmatch=True)
IMAGES = st.builds(
    lambda file, base, **more: ImageMetadata(file, url=base and base + file, **more),
    FILES,
    st.sampled_from([None, "https://x.test/width=450/"]),
    width=optional(SIZES),
    height=optional(SIZES),
    nsfw_level=LEVELS,
    blurhash=optional(st.just("UWGSrw.Snm$*THozsoM{~C$*xaozU_MxSfkB")),
    prompt=optional(TEXTS),
    params=PARAMS,
)
VERSIONS = st.builds(
    CivitaiVersion,
    id=IDS,
    name=LINES,
    base_model=optional(LINES),
    description=optional(TEXTS),
    published_at=optional(TIMES),
    trained_words=unique_tuples(LINES),
    stats=STATISTICS,
    files=st.lists(
        st.builds(
            CivitaiFile,
            name=FILES,
            size_kb=optional(st.floats(0, 10**9)),
            format=optional(LINES),
            precision=optional(LINES),
            hashes=HASHES.map(normalize_hashes),
        ),
        max_size=2,
    ).map(tuple),
    nsfw_level=LEVELS,
)
LICENSING = st.fixed_dictionaries(
    {},
    optional={
        "allowNoCredit": st.booleans(),
        "allowDerivatives": st.booleans(),
        "allowCommercialUse": st.lists(st.sampled_from(["Image", "Rent", "Sell"]), unique=True),
    },
)
FACTS = st.builds(
    Metadata,
    name=optional(LINES),
    type=optional(st.sampled_from(["LORA", "Checkpoint"])),
    description=optional(TEXTS),
    tags=unique_tuples(LINES),
    creator=optional(LINES),
    creator_avatar=optional(st.just("https://x.test/a.png")),
    nsfw_level=LEVELS,
    stats=STATISTICS,
    licensing=LICENSING,
    civitai_id=optional(IDS),
    notes=optional(TEXTS),
    version_name=optional(LINES),
    base_model=optional(LINES.filter(lambda base: base.lower() not in ("unknown", "other"))),
    version_description=optional(TEXTS),
    version_stats=STATISTICS,
    published_at=optional(TIMES),
    trained_words=unique_tuples(LINES),
    negative_words=optional(TEXTS),
    preferred_weight=optional(NUMBERS),
    civitai_version_id=optional(IDS),
    hashes=HASHES.map(normalize_hashes),
    images=st.lists(IMAGES, max_size=2).map(tuple),
)
OURS = LocalFile("ours.safetensors", 2048, time_ms=1000)


def select_fields(facts: Metadata, fields: frozenset[str]) -> dict[str, Any]:
    """Return these fields of the metadata."""
    return {name: getattr(facts, name) for name in fields}


def write_and_read(source: Source, facts: Metadata, local: LocalFile) -> Metadata:
    """Write a sidecar, read it, and merge the result."""
    return merge_metadata(read_sidecar(source, write_sidecar(source, facts, local), 1, local)).metadata


@EASILY
@given(FACTS)
def test_civitai_formats_read_back_the_same(facts: Metadata) -> None:
    """Every supported field except versions."""
    for source in (Source.CIVITDL, Source.CIVITAI_INFO, Source.API_INFO, Source.LORA_MANAGER):
        fields = SUPPORTED_FIELDS[source] - {"versions"}
        again = write_and_read(source, facts, OURS)
        assert select_fields(again, fields) == select_fields(facts, fields), source


@EASILY
@given(FACTS)
def test_stability_matrix_reads_back_the_same(facts: Metadata) -> None:
    """It supports three of the hashes."""
    hashes = {name: digits for name, digits in facts.hashes.items() if name in ("SHA256", "CRC32", "BLAKE3")}
    facts = replace(facts, hashes=hashes)
    fields = SUPPORTED_FIELDS[Source.STABILITY_MATRIX]
    assert select_fields(write_and_read(Source.STABILITY_MATRIX, facts, OURS), fields) == select_fields(facts, fields)


@EASILY
@given(FACTS, optional(st.sampled_from(sorted(BASE_MODEL_BY_FAMILY.values()))))
def test_a1111_reads_back_the_same(facts: Metadata, base_model: str | None) -> None:
    """It supports families of base models and one of the hashes."""
    hashes = {name: digits for name, digits in facts.hashes.items() if name == "SHA256"}
    facts = replace(facts, hashes=hashes, base_model=base_model)
    assert select_fields(write_and_read(Source.A1111, facts, OURS), SUPPORTED_FIELDS[Source.A1111]) == select_fields(
        facts, SUPPORTED_FIELDS[Source.A1111]
    )


@EASILY
@given(FACTS, st.lists(VERSIONS, min_size=1, max_size=3, unique_by=lambda version: version.id), st.data())
def test_versions_read_back_the_same(facts: Metadata, versions: list[CivitaiVersion], data: st.DataObject) -> None:
    """The local file may belong to any of them."""
    ours = data.draw(st.sampled_from(versions))
    facts = replace(
        facts,
        versions=tuple(versions),
        civitai_version_id=ours.id,
        version_name=ours.name,
        base_model=ours.base_model,
        version_description=ours.description,
        version_stats=ours.stats,
        published_at=ours.published_at,
        trained_words=ours.trained_words,
        hashes={},
    )
    for source in (Source.CIVITDL, Source.API_INFO):
        again = write_and_read(source, facts, LocalFile(known_version_id=ours.id))
        fields = SUPPORTED_FIELDS[source] - {"hashes"}
        assert select_fields(again, fields) == select_fields(facts, fields), source


@EASILY
@given(st.sampled_from(sorted(SUPPORTED_FIELDS)), FACTS, HASHES)
def test_computed_hashes_override_claims(source: Source, facts: Metadata, hashes: dict[str, str]) -> None:
    """This holds for every format with hashes."""
    local = replace(OURS, hashes=hashes)
    again = write_and_read(source, facts, local)
    known = normalize_hashes(hashes)
    assert all(known.get(name, digits) == digits for name, digits in again.hashes.items())
    if source not in (Source.A1111, Source.STABILITY_MATRIX):
        assert again.hashes == {**facts.hashes, **known}


def test_computed_hashes_are_written_to_the_local_file() -> None:
    """The local file is among the files that Civitai lists."""
    files = (CivitaiFile("full.safetensors", hashes={"AutoV2": "1" * 10}), CivitaiFile("ours.safetensors", 2.0))
    facts = Metadata(civitai_version_id=5, versions=(CivitaiVersion(5, "v", files=files),))
    local = replace(OURS, hashes={"SHA256": "a" * 64})
    again = write_and_read(Source.API_INFO, facts, local)
    assert again.hashes == {"SHA256": "a" * 64}
    assert [file.hashes for file in again.versions[0].files] == [{"AutoV2": "1" * 10}, {"SHA256": "a" * 64}]


def test_empty_metadata_reads_back_empty() -> None:
    """This holds for every format."""
    assert {source: read_sidecar(source, write_sidecar(source, Metadata()), 1) for source in SUPPORTED_FIELDS} == {
        source: [] for source in SUPPORTED_FIELDS
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = sorted(
    {
        *("id", "name", "type", "tags", "stats", "creator", "nsfw", "nsfwLevel", "allowCommercialUse", "modelVersions"),
        *("files", "images", "hashes", "trainedWords", "publishedAt", "meta", "resources", "comfy", "metadata"),
        *("model", "civitai", "notes", "usage_tips", "sha256", "autov3", "model_name", "url", "SHA256", "sizeKB"),
        *("ModelId", "Tags", "Hashes", "Stats", "UserTitle", "sd version", "activation text", "preferred weight"),
        *("username", "image", "prompt", "Size", "seed", "modelId", "extensions", "hash", "weight"),
    }
)
ODD = st.recursive(
    JSON,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=25,
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), ODD, max_size=8))
def test_any_document_is_read(document: dict[str, Any]) -> None:
    """The result can be stored and written in every format."""
    raw = json.dumps(document).encode()
    claims = [claim for source in SUPPORTED_FIELDS for claim in read_sidecar(source, raw, 1, OURS)]
    for claim in claims:
        keepable = json.dumps(claim.metadata.to_json(), ensure_ascii=False, allow_nan=False).encode()
        assert Metadata.from_json(json.loads(keepable)) == claim.metadata
    merged = merge_metadata(claims).metadata
    for source in SUPPORTED_FIELDS:
        read_sidecar(source, write_sidecar(source, merged, OURS), 1, OURS)
    civitdl.read_image(raw, "1.png")


@EASILY
@given(st.binary(max_size=100) | st.text(max_size=50).map(str.encode))
def test_any_bytes_are_read_or_rejected(raw: bytes) -> None:
    """The only exception is FormatError."""
    for source in SUPPORTED_FIELDS:
        with contextlib.suppress(FormatError):
            assert read_sidecar(source, b'{"notes": "' + raw + b'"}', 0) is not None
        with contextlib.suppress(FormatError):
            read_sidecar(source, raw, 0)


@EASILY
@given(st.text(st.characters(), max_size=12), st.lists(st.text(st.characters(), max_size=12), max_size=5))
def test_any_name_is_searched(stem: str, endings: list[str]) -> None:
    """Only existing files are found."""
    names = [stem + ending for ending in [*endings, ".JSON", ".png"]]
    found = [name for name, _ in find_sidecars(stem, names)] + find_previews(stem, names)
    assert {f"{stem}.JSON", f"{stem}.png"} <= set(found) <= set(names)
    assert civitdl.parse_civitdl_ids(stem) is None or title_from_stem(stem)


def test_levels_of_images_make_the_models() -> None:
    """The written file has no level of the model then."""
    images = (ImageMetadata("1.png", nsfw_level=1), ImageMetadata("2.png", nsfw_level=8))
    again = write_and_read(Source.CIVITAI_INFO, Metadata(images=images), OURS)
    assert again.nsfw_level == reduce(or_, (image.nsfw_level for image in images))
