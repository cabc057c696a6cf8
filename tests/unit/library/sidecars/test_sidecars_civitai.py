"""Civitai's responses, in every form they have had."""

import json
from typing import Any

import pytest

from ops.infra.settings import ROOT
from schemas.library.metadata import ImageMetadata, Metadata, Source, SourcePriority
from schemas.library.sidecars import LocalFile, civitdl, read_sidecar, write_sidecar
from schemas.library.sidecars.civitai_reader import parse_metadata
from schemas.library.sidecars.local_file import UNKNOWN_FILE

REAL = ROOT.parent / "shared" / "testdata" / "json" / "civitai-model.json"
SHA = "6f6d687fe041fcdc0fe55b9cd90ae7634dc50ebc9da849dc869b232a8df60f9d"
OTHER_SHA = "1" * 64


@pytest.fixture
def real_response() -> bytes:
    """Return a real response of Civitai."""
    if not REAL.exists():
        pytest.skip(f"{REAL} is absent: it is not part of the repository")
    return REAL.read_bytes()


@pytest.mark.parametrize("source", [Source.CIVITDL, Source.API_INFO, Source.CIVITAI_INFO, Source.A1111])
def test_a_real_response_is_read(real_response: bytes, source: Source) -> None:
    """Every sidecar format gives the model, its version, the file's hashes and the images."""
    (claim,) = read_sidecar(source, real_response, 5)
    facts = claim.metadata
    assert (claim.source, claim.priority, claim.time_ms) == (source, SourcePriority.CIVITAI, 5)
    assert (facts.name, facts.type, facts.creator) == ("Figma Anime Figures", "LORA", "robowaifudev")
    assert (facts.civitai_id, facts.civitai_version_id, facts.nsfw_level) == (7984, 9413, 3)
    assert facts.tags[:2] == ("anime", "concept")
    assert (facts.stats["downloadCount"], facts.version_stats["rating"]) == (26527, 5)
    assert facts.licensing == {
        "allowNoCredit": True,
        "allowCommercialUse": [],
        "allowDerivatives": True,
        "allowDifferentLicense": False,
    }
    assert (facts.version_name, facts.base_model, facts.trained_words) == ("figma", "SD 1.5", ("figma",))
    assert facts.published_at == "2023-02-11T07:55:58.459Z"
    assert facts.description
    assert facts.description.startswith("<p><strong>Note</strong>")
    assert (facts.hashes["SHA256"], facts.hashes["AutoV3"], len(facts.hashes)) == (SHA, "dc746a5a4da9", 6)
    assert [image.file for image in facts.images[:2]] == ["90635.jpeg", "90636.jpeg"]
    assert (facts.images[1].nsfw_level, facts.images[1].width, facts.images[1].height) == (2, 512, 768)
    assert facts.images[0].blurhash == "UWGSrw.Snm$*THozsoM{~C$*xaozU_MxSfkB"
    (version,) = facts.versions
    assert (version.id, version.files[0].format, version.files[0].precision) == (9413, "SafeTensor", "fp16")
    assert version.files[0].size_kb == 151494.275390625


def test_metadata_of_a_real_response_survives_json(real_response: bytes) -> None:
    """The result equals the original."""
    (claim,) = read_sidecar(Source.CIVITDL, real_response, 0)
    assert Metadata.from_json(json.loads(json.dumps(claim.metadata.to_json()))) == claim.metadata


@pytest.mark.parametrize("source", [Source.CIVITDL, Source.API_INFO])
def test_a_real_response_survives_writing(real_response: bytes, source: Source) -> None:
    """The result equals the original."""
    local = LocalFile("figma-mid_7984-vid_9413.safetensors")
    (claim,) = read_sidecar(source, real_response, 5, local)
    assert read_sidecar(source, write_sidecar(source, claim.metadata, local), 5, local) == [claim]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("{Image,RentCivit}", ["Image", "RentCivit"]),
        ('{"Image","Rent"}', ["Image", "Rent"]),
        ("{}", []),
        ("None", []),
        ("Sell", ["Sell"]),
        (["Image", "Rent", "Image"], ["Image", "Rent"]),
        ([], []),
        ([None, 3, "Rent"], ["Rent"]),
    ],
)
def test_commercial_use_is_read_in_every_form(form: Any, expected: list[str]) -> None:
    """Every form becomes a list."""
    assert parse_metadata({"allowCommercialUse": form, "modelVersions": []}, UNKNOWN_FILE).licensing == {
        "allowCommercialUse": expected
    }


@pytest.mark.parametrize("form", [None, True, 3, {"a": 1}])
def test_commercial_use_of_unknown_form_is_ignored(form: Any) -> None:
    """It is neither allowed nor forbidden."""
    assert parse_metadata({"allowCommercialUse": form, "modelVersions": []}, UNKNOWN_FILE).licensing == {}


@pytest.mark.parametrize(
    ("answer", "field", "expected"),
    [
        ({"tags": [{"name": "ink"}, {"name": None}, "wash", "ink", 3]}, "tags", ("ink", "wash")),
        ({"creator": None}, "creator", None),
        ({"creator": {"username": "bob", "image": "javascript:alert(1)"}}, "creator_avatar", None),
        ({"creator": {"username": "bob", "image": None}}, "creator", "bob"),
        ({"nsfw": True}, "nsfw_level", 8),
        ({"nsfw": False}, "nsfw_level", None),
        ({"nsfw": True, "nsfwLevel": 3}, "nsfw_level", 3),
        ({"nsfw": "Mature"}, "nsfw_level", 4),
        ({"nsfwLevel": 64}, "nsfw_level", None),
        ({"nsfwLevel": 0}, "nsfw_level", None),
        (
            {"stats": {"favoriteCount": 4, "rating": 4.5, "x": 1, "ratingCount": None, "commentCount": -1}},
            "stats",
            {"favoriteCount": 4, "rating": 4.5},
        ),
        ({"stats": {"thumbsUpCount": True, "downloadCount": "7", "tippedAmountCount": 1e300}}, "stats", {}),
        ({"name": "a\nb\u202e" + "c" * 5000}, "name", "a b" + "c" * 1997),
        ({"name": {"a": 1}}, "name", None),
        ({"id": "12"}, "civitai_id", 12),
        ({"id": 0}, "civitai_id", None),
        ({"id": True}, "civitai_id", None),
        ({"description": "a\x00b\ud800"}, "description", "ab"),
    ],
)
def test_fields_are_read_one_by_one(answer: dict[str, Any], field: str, expected: Any) -> None:
    """Old and new forms are accepted; an invalid value costs no other field."""
    facts = parse_metadata({"type": "LORA", "modelVersions": [], **answer}, UNKNOWN_FILE)
    assert getattr(facts, field) == expected
    assert facts.type == "LORA"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2023-02-11T07:55:58.459", "2023-02-11T07:55:58.459Z"),
        ("2023-02-11T07:55:58.459Z", "2023-02-11T07:55:58.459Z"),
        ("2023-02-11T07:55:58Z", "2023-02-11T07:55:58Z"),
        ("2023-02-11T07:55:58+02:00", "2023-02-11T05:55:58Z"),
        ("2023-02-11", "2023-02-11T00:00:00Z"),
        ("0001-01-01T00:00:00+10:00", None),
        ("yesterday", None),
        (1676102158, None),
    ],
)
def test_times_are_converted_to_utc(written: Any, expected: str | None) -> None:
    """Times without a zone are UTC."""
    assert parse_metadata({"publishedAt": written}, UNKNOWN_FILE).published_at == expected
    assert parse_metadata({"createdAt": written, "publishedAt": None}, UNKNOWN_FILE).published_at == expected


def test_missing_levels_are_taken_from_the_images() -> None:
    """Old responses have no level of the model."""
    old = [{"url": "https://x.test/1.png", "nsfw": "Soft"}, {"url": "https://x.test/2.png", "nsfw": "X"}]
    assert parse_metadata({"images": old}, UNKNOWN_FILE).nsfw_level == 10
    assert (
        parse_metadata(
            {"modelVersions": [{"id": 1, "images": old}, {"id": 2, "nsfwLevel": 1}]}, UNKNOWN_FILE
        ).nsfw_level
        == 11
    )


def version(number: int, name: str, sha: str, size_kb: float) -> dict[str, Any]:
    """Return a version with one file."""
    files = [{"name": name, "type": "Model", "sizeKB": size_kb, "hashes": {"SHA256": sha.upper()}}]
    return {"id": number, "name": f"v{number}", "files": files}


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        (LocalFile(known_version_id=2), 2),
        (LocalFile("ink-mid_1-vid_2.safetensors"), 2),
        (LocalFile("x.safetensors", hashes={"SHA256": SHA}), 1),
        (LocalFile("b.safetensors"), 2),
        (LocalFile("x.safetensors", 2048), None),
        (LocalFile("b.safetensors", 2048), 2),
        (LocalFile("x.safetensors", 3072), 3),
        (LocalFile("x.safetensors"), None),
        (LocalFile("b.safetensors", hashes={"SHA256": SHA}), 1),
        (LocalFile("x-mid_1-vid_77.safetensors", hashes={"SHA256": SHA}), 1),
    ],
)
def test_the_local_version_is_found(local: LocalFile, expected: int | None) -> None:
    """Id, hash, size or name identify it; if they are ambiguous, only the model is known."""
    versions = [
        version(1, "a.safetensors", SHA, 2),
        version(2, "b.safetensors", OTHER_SHA, 2),
        version(3, "c.safetensors", "2" * 64, 3),
    ]
    facts = parse_metadata({"id": 9, "modelVersions": versions}, local)
    assert (facts.civitai_id, facts.civitai_version_id, len(facts.versions)) == (9, expected, 3)


def test_hashes_are_claimed_only_for_an_unambiguous_file() -> None:
    """Files other than models do not count."""
    files = [
        {"name": "full.safetensors", "type": "Model", "sizeKB": 4, "hashes": {"SHA256": SHA}, "primary": True},
        {"name": "small.safetensors", "type": "Pruned Model", "sizeKB": 2, "hashes": {"SHA256": OTHER_SHA}},
        {"name": "data.zip", "type": "Training Data", "hashes": {"SHA256": "3" * 64}},
    ]
    assert parse_metadata({"files": files}, UNKNOWN_FILE).hashes == {}
    assert parse_metadata({"files": files}, LocalFile("small.safetensors")).hashes == {"SHA256": OTHER_SHA}
    assert parse_metadata({"files": files[1:]}, UNKNOWN_FILE).hashes == {"SHA256": OTHER_SHA}


META: dict[str, Any] = {
    "prompt": "a cat,\n<lora:ink:0.8>",
    "negativePrompt": "dog",
    "seed": 2**64 - 1,
    "steps": 20,
    "sampler": "Euler a",
    "Schedule type": "Karras",
    "cfgScale": 7.5,
    "Clip skip": "2",
    "Denoising strength": "0.4",
    "Size": "832x1216",
    "Model": "pony",
    "resources": [
        {"type": "lora", "name": "ink", "hash": "DC746A5A4DA9", "weight": None},
        {"type": "model", "name": "pony", "hash": "b74108046b"},
    ],
    "civitaiResources": [{"type": "lora", "modelVersionId": 135867, "weight": 0.8}],
    "additionalResources": [{"name": "urn:air:sdxl:lora:civitai:122359@135868", "strength": 1}],
    "hashes": {"lora:ink": "dc746a5a4da9", "vae": "0123456789", "embed:x": "<img>"},
    "comfy": '{"prompt": {"1": {}}, "workflow": {"nodes": [NaN]}}',
}
PARAMS: dict[str, Any] = {
    "negative_prompt": "dog",
    "seed": 2**64 - 1,
    "steps": 20,
    "cfg_scale": 7.5,
    "sampler": "Euler a",
    "scheduler": "Karras",
    "clip_skip": 2,
    "denoise": 0.4,
    "width": 832,
    "height": 1216,
    "model": "pony",
    "resources": [
        {"kind": "lora", "name": "ink", "hash": "dc746a5a4da9"},
        {"kind": "checkpoint", "name": "pony", "hash": "b74108046b"},
        {"kind": "lora", "weight": 0.8, "civitai_version_id": 135867},
        {"kind": "lora", "weight": 1.0, "civitai_version_id": 135868},
        {"kind": "vae", "hash": "0123456789"},
    ],
    "workflow": {"nodes": [None]},
}


@pytest.mark.parametrize("meta", [META, {"id": 5, "meta": META}], ids=["direct", "nested"])
def test_generation_parameters_of_an_image_are_read(meta: dict[str, Any]) -> None:
    """Both forms of "meta" are accepted."""
    raw = json.dumps({"url": "https://x.test/77.jpeg?width=450#a", "width": 10, "meta": meta}).encode()
    image = civitdl.read_image(raw, "77.png")
    assert image == ImageMetadata(
        "77.png", width=10, prompt=META["prompt"], params=PARAMS, url="https://x.test/77.jpeg?width=450#a"
    )


@pytest.mark.parametrize("meta", [None, [], "x", {"id": 5, "meta": None}, {"seed": "x", "Size": "big", "comfy": "{"}])
def test_images_without_parameters_are_read(meta: Any) -> None:
    """Invalid parameters are dropped."""
    (image,) = parse_metadata({"images": [{"url": "https://x.test/1.png", "meta": meta}]}, UNKNOWN_FILE).images
    assert (image.file, image.prompt, image.params) == ("1.png", None, {})


@pytest.mark.parametrize(
    "entry",
    [
        {"url": "https://x.test/1.mp4"},
        {"url": "https://x.test/1.png", "type": "video"},
        {"url": "https://x.test/.."},
        {"url": "https://x.test/..\\..\\etc"},
        {"url": "https://x.test/a\x00.png"},
        {"url": "https://x.test/a\u202egnp.exe"},
        {"url": "https://x.test/" + "a" * 300},
        {"url": ""},
        {"url": None},
        {},
        "x",
    ],
)
def test_non_images_are_left_out(entry: Any) -> None:
    """These are videos, and entries with unsafe file names."""
    assert parse_metadata({"name": "v1", "images": [entry]}, UNKNOWN_FILE).images == ()


@pytest.mark.parametrize("blurhash", ["LEHV6nWB2yk8", "", "U" * 5000, '"><script>', 7, None])
def test_invalid_blurhashes_are_dropped(blurhash: Any) -> None:
    """The first character encodes the length."""
    entry = {"url": "https://x.test/1.png", "hash": blurhash, "width": -1, "height": 2**40}
    (image,) = parse_metadata({"images": [entry]}, UNKNOWN_FILE).images
    assert (image.blurhash, image.width, image.height) == (None, None, None)
