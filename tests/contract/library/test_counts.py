"""Counts and search values that the database itself keeps, in SQLite and PostgreSQL."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, select, update

from stores.library import tables
from stores.library.search_tables import terms
from tests.conftest import FakeClock
from tests.support.indexed_folder import IndexedFolder
from tests.support.library_counts import check_counts
from tests.support.model_files import civitai_model, write_safetensors


@pytest.fixture
def library(engine: Engine, clock: FakeClock, tmp_path: Path) -> IndexedFolder:
    """An empty folder and its index."""
    folder = tmp_path / "models"
    folder.mkdir()
    return IndexedFolder(folder, engine, clock)


def test_counts_follow_every_change(library: IndexedFolder) -> None:
    """Files come, go, come back, are hashed, moved, found equal, edited and broken; models are merged and deleted."""
    folder, stores = library.folder, library.stores

    def check() -> None:
        check_counts(library.engine, stores)

    for number in range(4):
        path = write_safetensors(folder / "loras" / f"{number}.safetensors", data=bytes([number]) * (number + 1))
        sidecar = civitai_model(number // 2 + 1, 10 + number, name=f"Ink {number}", tags=["Ink", f"tag {number}"])
        path.with_suffix(".api_info.json").write_text(json.dumps(sidecar))
    (folder / "vae").mkdir()
    (folder / "vae" / "old.ckpt").write_bytes(b"\x80\x02}q\x00.")
    (folder / "vae" / "half.safetensors").write_bytes(b"\x10")
    check()
    library.scan()
    check()
    write_safetensors(folder / "loras" / "copy.safetensors", data=b"\1\1")
    library.scan()
    library.hash()
    check()
    [first, *_] = library.ids("ink")
    stores.user_edits.write(first, {"tags": ["INK", "mine"], "baseModel": "SDXL", "type": "VAE", "notes": "good"})
    check()
    stores.user_edits.write(first, {"tags": None, "baseModel": "sdxl"})
    check()
    (folder / "vae" / "half.safetensors").rename(folder / "vae" / "moved.safetensors")
    (folder / "loras" / "0.safetensors").rename(folder.parent / "away")
    (folder / "loras" / "1.safetensors").unlink()
    library.scan()
    check()
    assert stores.maintenance.get_counts()["missing"] == 2
    (folder.parent / "away").rename(folder / "loras" / "0.safetensors")
    write_safetensors(folder / "vae" / "moved.safetensors", data=b"whole")
    library.scan(full=True)
    library.hash()
    check()
    stores.scan_writer.drop_roots_except([])
    check()
    assert stores.search.list_filter_values() == {"categories": [], "baseModels": [], "types": [], "tags": []}
    with library.engine.begin() as connection:
        connection.execute(delete(tables.user_edits))
        connection.execute(delete(tables.problems))
        connection.execute(delete(tables.models).where(tables.models.c.id != first))
    check()


def test_values_of_models_are_found_however_they_are_written(library: IndexedFolder) -> None:
    """PostgreSQL's index of values follows changes of the table, also by versions that do not know the index."""
    if library.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no index of values")
    write_safetensors(library.folder / "vae" / "a.safetensors")
    library.scan()
    with library.engine.begin() as connection:
        connection.execute(update(tables.models).values(category_key="it's \\ 'new'", nsfw_level=5, dim=8))
    with library.engine.connect() as connection:
        text = str(connection.execute(select(terms.c.terms)).scalar_one())
    assert "'=cit''s \\\\ ''new'''" in text
    assert "'=n3'" in text
    assert "'=d8'" in text
    for dim in (16, None):
        with library.engine.begin() as connection:
            connection.execute(update(tables.models).values(dim=dim))
        with library.engine.connect() as connection:
            text = str(connection.execute(select(terms.c.terms)).scalar_one())
        assert [term for term in ("'=d8'", "'=d16'") if term in text] == ([f"'=d{dim}'"] if dim else [])
