"""Folders with the packages of lock files."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.programs import environments

NAME = "comfyui-1.16.9"
PAGE = Path("comfyui_frontend_package") / "static" / "index.html"


def test_a_folder_is_made_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two concurrent callers get the same folder; a folder that a killed process left incomplete is made again."""
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    with ThreadPoolExecutor(2) as executor:
        first, second = executor.map(environments.unpack_packages, [NAME, NAME])
    made_at = (first / PAGE).stat().st_ctime_ns

    assert first == second == environments.unpack_packages(NAME)
    assert (first / PAGE).stat().st_ctime_ns == made_at

    (first / environments.COMPLETE).unlink()
    (first / PAGE).unlink()
    assert (environments.unpack_packages(NAME) / PAGE).exists()


def test_a_package_with_another_hash_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error has the words of the installer, and nothing counts as installed."""
    (tmp_path / "wrong.txt").write_text(f"comfyui-frontend-package==1.16.9 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(environments, "FOLDER", tmp_path / "made")
    monkeypatch.setattr(environments, "LOCKS", tmp_path)

    with pytest.raises(RuntimeError, match=r"(?i)hash"):
        environments.unpack_packages("wrong")
    assert not [*(tmp_path / "made").glob("*/.complete")]
