"""An app with models that have all kinds of metadata."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.infra.settings import Settings
from tests.support.library import LibraryApp, open_library_app
from tests.support.model_files import civitai_model, write_safetensors

STATS = {
    "downloadCount": 1000,
    "thumbsUpCount": 100,
    "thumbsDownCount": 5,
    "commentCount": 10,
    "tippedAmountCount": 500,
}


VERSIONS = [
    {
        "id": 12,
        "name": "v2",
        "baseModel": "SDXL 1.0",
        "publishedAt": "2024-01-01T00:00:00Z",
        "trainedWords": ["wash"],
        "description": "<b>two</b>",
        "stats": {"downloadCount": 7},
        "files": [],
        "images": [
            {
                "url": "https://x.test/a.png",
                "width": 1024,
                "height": 768,
                "nsfwLevel": 2,
                "hash": "LEHV6nWB2yk8pyo0adR*.7kCMdnj",
                "meta": {},
            }
        ],
    },
    {"id": 11, "name": "v1", "baseModel": "SD 1.5", "trainedWords": ["ink"], "files": []},
]


DESCRIPTION = '<p onclick="x()">Hi <a href="javascript:x">there</a></p><script>x()</script><img src=x onerror=x()>'


# First the fields of the original API, then additional ones.
MODEL_SUMMARY = {
    *("id", "name", "type", "category", "subcategory", "baseModel", "nsfwLevel", "creatorName", "creatorAvatar"),
    *("tags", "stats", "hasMetadata", "heroImage"),
    *("canRunCode", "civitaiId"),
}


VERSION_SUMMARY = {"id", "name", "baseModel", "isLocal", "localPath", "localFileSize", "files"}


def write_models(folder: Path) -> None:
    """Write a LoRA with all kinds of metadata, a checkpoint without any, a diffusion model and a VAE."""
    ink = write_safetensors(
        folder / "loras" / "qwen" / "ink-mid_7-vid_12.safetensors", metadata={"ss_network_dim": "16"}
    )
    extra = ink.parent / "extra_data-vid_12"
    extra.mkdir()
    creator = {"username": "ann", "image": "https://x.test/ann.png"}
    metadata = civitai_model(7, name="Ink", stats=STATS, creator=creator, description=DESCRIPTION, nsfwLevel=3)
    (extra / "model_dict-mid_7-vid_12.json").write_text(json.dumps(metadata | {"modelVersions": VERSIONS}))
    (extra / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    write_safetensors(folder / "checkpoints" / "base.safetensors", data=b"checkpoint")
    write_safetensors(folder / "diffusion_models" / "flux.safetensors", data=b"diffusion")
    write_safetensors(folder / "vae" / "vae.safetensors", data=b"vae")


@pytest.fixture
def library(settings: Settings, tmp_path: Path) -> Iterator[LibraryApp]:
    """An app with these models, scanned and hashed."""
    write_models(tmp_path / "models")
    with open_library_app(settings, tmp_path / "models") as library:
        library.scan()
        library.hash()
        yield library
