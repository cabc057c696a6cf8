"""Hostile model files and sidecars: every text and number that a third party can choose is an unexpected one."""

import json
import os
from pathlib import Path
from typing import Any

from tests.support.model_files import write_safetensors
from workers.library.scanner.walk import MAX_PATH_BYTES

# Incompressible characters of three bytes each.
WIDE = "".join(chr(0x4E00 + (number * number * 31 + number * 7919) % 20_000) for number in range(3000))
HOSTILE_TEXTS: dict[str, str] = {
    "script": "<script>alert(1)</script>",
    "attribute": '"><img src=x onerror=alert(1)>',
    "svg": "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "link": '<a href="javascript:alert(1)" target=_blank>x</a> [y](javascript:alert(1))',
    "bidi": "\u202egnp.exe\u2066\u200f",
    "lines": "a\nb\r\nc\u2028d\x85e\x0bf",
    "nul": "a\0b\0",
    "half": "a\ud800b\udfff",
    "halves": "\udc00\ud800",
    "last": "\U0010ffff\ufffe\ue000",
    "combining": "e" + "\u0301" * 2000,
    "long": "x" * 65_536,
    "wide": WIDE,
    "words": " ".join(f"w{number}" for number in range(20_000)),
    "quotes": "'\"`\\;--",
    "sql": "'; DROP TABLE library_models; --",
    "question": '" OR NEAR(* ) & | ! <-> :* ^',
    "wildcards": "%_*?",
    "format": "{0} %s ${jndi:x} {{7*7}}",
    "path": "../../etc/passwd",
    "nan": "NaN",
    "infinity": "1e999",
    "seed": str(2**64),
    "digits": "9" * 5000,
    "negative": "-1",
    "empty": "",
    "space": " \t\n ",
    "header": "x\r\nSet-Cookie: a=b",
    "expanding": "\ufdfa" * 500,
}
HOSTILE_VALUES: dict[str, Any] = {
    "no number": float("nan"),
    "no end": float("inf"),
    "too large": 2**64,
    "far too large": 10**400,
    "fraction": 1.5e300,
    "less": -1,
    "true": True,
    "null": None,
    "list": [1, [2, {"a": float("nan")}]],
    "object": {"name": {"name": 1}, "meta": {"meta": []}},
}
HOSTILE_NAMES = (
    b"new\nline",
    b"car\rriage",
    b"'\"`;",
    b"<script>alert(1)<",
    "\u202egnp.exe".encode(),
    b"a\xff\xfe\x80",
    b"\xed\xa0\x80half",
    b"%2e%2e%2f",
    b"back\\slash",
    b" space ",
    b"-dash",
    b"x" * 240,
    "\uff0e\uff0e\uff0f".encode(),
    "e\u0301\u0301".encode(),
    b"\x01\x7f\x1b[31m",
    b"a;b=c",
)
HEADER_FIELDS = (
    *("modelspec.architecture", "modelspec.title", "modelspec.author", "modelspec.description", "modelspec.tags"),
    *("modelspec.trigger_phrase", "modelspec.resolution", "modelspec.hash_sha256", "ss_base_model_version"),
    *("ss_network_module", "ss_network_dim", "ss_network_alpha", "ss_output_name", "ss_training_comment"),
    *("ssmd_display_name", "ssmd_author", "ssmd_description", "ssmd_keywords", "ssmd_tags", "sshs_model_hash"),
    *("sshs_legacy_hash", "ss_datasets", "ss_tag_frequency", "ss_resolution"),
)


def write_hostile_models(folder: Path) -> int:
    """Write all of them and return the number of model files."""
    _headers(folder / "loras")
    _sidecars(folder / "checkpoints")
    _names(folder)
    below = len(os.fsencode(folder)) + 1
    return sum(1 for path in folder.rglob("*.safetensors") if len(os.fsencode(path)) - below <= MAX_PATH_BYTES)


def _headers(folder: Path) -> None:
    for number, text in enumerate(HOSTILE_TEXTS.values()):
        plain = dict.fromkeys(HEADER_FIELDS, text)
        nested = {
            "ss_tag_frequency": json.dumps({text: {text: 5, "n": 2**60}, "x": {"y": -1, "z": 2**99}}),
            "ss_datasets": json.dumps([{"subsets": [{"class_tokens": text}, 5, None]}, "x"]),
        }
        write_safetensors(folder / f"plain{number}.safetensors", metadata=plain, data=b"p" * (number + 1))
        write_safetensors(folder / f"nested{number}.safetensors", metadata=nested, data=b"n" * (number + 1))


def _sidecars(folder: Path) -> None:
    for number, value in enumerate((*HOSTILE_TEXTS.values(), *HOSTILE_VALUES.values())):
        stem = folder / f"s{number}"
        write_safetensors(stem.with_suffix(".safetensors"), data=b"s" * (number + 1))
        first = 1000 + 100 * number
        for index, (ending, document) in enumerate(_sidecar_documents(value, first).items()):
            if number % 5 == index or number % 5 == 0:
                stem.with_suffix(ending).write_text(json.dumps(document))
        _write_civitdl_files(folder, first + 50, value)


def _sidecar_documents(value: Any, id_: int) -> dict[str, Any]:
    """Return the sidecar of each program with ``value`` in every field."""
    version = _version(value, id_)
    model = {"name": value, "type": value, "nsfw": value, "description": value, "tags": [value, {"name": value}]}
    creator = {"username": value, "image": value}
    info = version | {"modelId": id_, "model": model, "creator": creator, "extensions": value}
    names = ("ModelName", "ModelDescription", "Nsfw", "Tags", "ModelType", "VersionName", "VersionDescription")
    more = ("AuthorUsername", "BaseModel", "TrainedWords", "Stats", "UserTitle", "Hashes", "FileMetadata")
    own = ("description", "sd version", "activation text", "preferred weight", "negative text", "notes", "sha256")
    manager = ("model_name", "base_model", "notes", "tags", "modelDescription", "usage_tips", "autov3", "sha256")
    return {
        ".civitai.info": info,
        ".metadata.json": dict.fromkeys(manager, value) | {"civitai": _version(value, id_ + 10)},
        ".cm-info.json": dict.fromkeys(names + more, value) | {"ModelId": id_ + 20, "VersionId": value},
        ".api_info.json": model | {"id": value, "creator": creator, "modelVersions": [version, value]},
        ".json": dict.fromkeys(own, value) | {"modelId": value},
    }


def _version(value: Any, id_: int) -> dict[str, Any]:
    meta = ("prompt", "negativePrompt", "seed", "steps", "cfgScale", "sampler", "scheduler", "Size", "Model", "comfy")
    resource = dict.fromkeys(("type", "name", "hash", "weight", "modelVersionId", "air"), value)
    lists = {"resources": [resource, value], "hashes": {f"lora:{value}": value}, "civitaiResources": [resource]}
    image = dict.fromkeys(("nsfwLevel", "width", "height", "hash"), value) | {"url": f"https://x.test/{value}.png"}
    file = {"name": value, "sizeKB": value, "hashes": {"SHA256": value}, "metadata": {"format": value, "fp": value}}
    texts = dict.fromkeys(("name", "baseModel", "description", "publishedAt", "nsfwLevel"), value)
    images = [image | {"meta": dict.fromkeys(meta, value) | lists}, value]
    more = {"trainedWords": [value], "stats": {"downloadCount": value}, "files": [file, value], "images": images}
    return texts | more | {"id": id_ + 1}


def _write_civitdl_files(folder: Path, id_: int, value: Any) -> None:
    """Write civitdl's layout, with an image whose name is not UTF-8."""
    write_safetensors(folder / f"x-mid_{id_}-vid_{id_ + 1}.safetensors", data=str(id_).encode())
    extra = folder / f"extra_data-vid_{id_ + 1}"
    extra.mkdir()
    response = {"id": id_, "name": value, "modelVersions": [_version(value, id_)]}
    (extra / f"model_dict-mid_{id_}-vid_{id_ + 1}.json").write_text(json.dumps(response))
    (extra / "1.json").write_text(json.dumps(_version(value, id_)["images"][0]))
    (extra / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    name = os.path.join(os.fsencode(extra), b'\xff\n"<%d>.png' % id_)  # noqa: PTH118 - bytes
    Path(os.fsdecode(name)).write_bytes(b"GIF89a")


def _names(folder: Path) -> None:
    for number, name in enumerate(HOSTILE_NAMES):
        inner = Path(os.fsdecode(os.path.join(os.fsencode(folder), name.strip() or b"_", name)))  # noqa: PTH118 - bytes
        path = write_safetensors(inner / "m.safetensors", data=b"d" * (number + 1))
        other = os.path.join(os.fsencode(path.parent), name + b".safetensors")  # noqa: PTH118 - bytes
        write_safetensors(Path(os.fsdecode(other)), data=b"f" * (number + 1))
    deep = folder.joinpath("deep", *("d" * 200 for _ in range(9)))
    write_safetensors(deep / "m.safetensors", data=b"deep")
    write_safetensors(deep.parents[2] / "m.safetensors", data=b"not so deep")


def write_bombs(folder: Path) -> dict[str, str]:
    """Write files that are expensive to parse for their size; return the expected problem code of each."""
    shape = b",".join([b"%d" % 2**62] * 1_000_000)
    raw = b'{"w":{"dtype":"U8","shape":[%s],"data_offsets":[0,1]}}' % shape
    many = b"GGUF\x03\0\0\0" + bytes(8) + (1000).to_bytes(8, "little")
    bombs = {
        "dimensions.safetensors": (len(raw).to_bytes(8, "little") + raw + b"\0", "bad_tensor"),
        "depth.safetensors": (_with_length(b'{"a":' * 100_000), "not_json"),
        "digits.safetensors": (_with_length(b'{"w":' + b"9" * 100_000 + b"}"), "not_json"),
        "length.safetensors": (b"\xff" * 8 + b"{}", "header_too_large"),
        "twice.safetensors": (_with_length(b'{"__metadata__":{},"__metadata__":{}}'), "double_key"),
        "pairs.gguf": (b"GGUF\x03\0\0\0" + b"\xff" * 16, "header_too_large"),
        "text.gguf": (many + b"\xff" * 8, "header_too_large"),
        "lists.gguf": (many, "header_too_large"),
    }
    for name, (content, _) in bombs.items():
        (folder / name).write_bytes(content)
    _append_sparse_arrays(folder / "lists.gguf", len(many))
    sidecars = {
        "deep": ('{"a":' * 200_000, "too_deep"),
        "long": ('{"id":' + "9" * 10**6 + "}", ""),
        "wide": ("[" + "0," * 10**6 + "0]", "wrong_shape"),
        "large": (" " * (8 * 1024 * 1024 + 1), "too_large"),
    }
    for name, (text, _) in sidecars.items():
        write_safetensors(folder / f"{name}.safetensors", data=name.encode())
        (folder / f"{name}.civitai.info").write_text(text)
    known = {name: code for name, (_, code) in bombs.items()}
    return known | {f"{name}.civitai.info": code for name, (_, code) in sidecars.items() if code}


def _append_sparse_arrays(path: Path, position: int) -> None:
    """Append arrays of millions of empty strings, as holes of a sparse file."""
    with path.open("rb+") as file:
        for _ in range(3):
            file.seek(position)
            file.write(
                bytes(8) + (9).to_bytes(4, "little") + (8).to_bytes(4, "little") + (5 * 10**6).to_bytes(8, "little")
            )
            position = file.tell() + 8 * 5 * 10**6
        file.truncate(position)


def _with_length(raw: bytes) -> bytes:
    return len(raw).to_bytes(8, "little") + raw
