"""An app with models that have pictures."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.infra.settings import Settings
from tests.support.images import VALID_IMAGES
from tests.support.library import LibraryApp, open_library_app, run_image_inspector
from tests.support.model_files import write_safetensors

PNG = VALID_IMAGES["png"][0]


@pytest.fixture
def library(settings: Settings, tmp_path: Path) -> Iterator[LibraryApp]:
    """An app with two LoRAs, one of which has a preview, and a checkpoint."""
    folder = tmp_path / "models"
    write_safetensors(folder / "loras" / "sub" / "ink.safetensors", data=b"ink")
    (folder / "loras" / "sub" / "ink.preview.png").write_bytes(PNG)
    write_safetensors(folder / "loras" / "other.safetensors", data=b"other")
    write_safetensors(folder / "checkpoints" / "base.safetensors", data=b"base")
    with open_library_app(settings, folder) as library:
        library.scan()
        library.hash()
        yield library


@pytest.fixture
def inspected(library: LibraryApp) -> Iterator[list[str]]:
    """Inspect uploads in a thread; the keys of the inspected ones."""
    with run_image_inspector(library.stores) as inspected:
        yield inspected
