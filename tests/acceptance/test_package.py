"""The Python client as an installed package."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from ops.infra.settings import ROOT

SCRIPT = "import darkroom_client, sys; print(darkroom_client.Darkroom.__name__, [m for m in sys.modules if m == 'ops'])"


def test_the_package_holds_only_the_client(tmp_path: Path) -> None:
    """The wheel contains ``darkroom_client`` with type information and nothing of the server."""
    source = tmp_path / "source"
    # A copy, because building leaves files behind.
    shutil.copytree(ROOT / "ops" / "client", source / "ops" / "client")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(source)]
    done = subprocess.run(build, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        archive.extractall(tmp_path / "site")
    assert {name.partition("/")[0] for name in names} == {"darkroom_client"}
    assert "darkroom_client/py.typed" in names
    tried = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={"PYTHONPATH": str(tmp_path / "site")}, cwd=tmp_path, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert tried.stdout.strip() == "Darkroom []", tried.stderr
