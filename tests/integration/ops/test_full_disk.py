"""A deployment whose disk is full: it says so, loses nothing, and continues automatically."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ops.infra.settings import ROOT, Settings
from schemas.errors import NotFound, Unavailable
from stores.environment.disk_space import CHECK_INTERVAL_S, MIN_FREE_BYTES, DiskSpace
from tests.conftest import eventually
from tests.integration.conftest import AppClient, start_deployment

MOUNT_BYTES = 160 * 1024 * 1024


@contextmanager
def mount_small_disk() -> Iterator[Path]:
    """Yield the folder of a small file system."""
    with tempfile.TemporaryDirectory(prefix="dr-disk-") as name:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={MOUNT_BYTES},mode=0700", "tmpfs", name]
        if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
            pytest.skip("this user may not mount a file system")
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "--lazy", name], check=True)


def fill(folder: Path) -> Path:
    """Fill the disk to the last byte; return the file to be deleted."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1024 * 1024, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


def health(app: AppClient) -> dict[str, Any]:
    """The health report without details."""
    report: dict[str, Any] = app.client.get("/health").json
    return report


def test_a_full_disk_is_reported_and_loses_nothing(base_settings: Settings) -> None:
    """Submissions are refused clearly, accepted jobs wait, and all of it works again once there is room."""
    with mount_small_disk() as folder, start_deployment(base_settings, folder, log_level="info") as running:
        app = running.app
        kept = [app.submit() for _ in range(2)]
        results = [app.wait_for_end(job_id) for job_id in kept]
        assert [job["status"] for job in results] == ["COMPLETED"] * 2
        waiting = [app.submit(steps=40) for _ in range(3)]

        ballast = fill(folder)
        report = eventually(lambda: health(app) if "disk" in health(app).get("failing", ()) else None)
        assert report["status"] == "DEGRADED"
        details = app.get("/health").json
        if "disk" in details:
            assert "No space left on device" in str(details["disk"]) or "KiB are free" in str(details["disk"])
        refused = eventually(lambda: refusal(app))
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        with pytest.raises(Unavailable, match="disk is full"):
            create_keys(app)
        with pytest.raises(Unavailable):
            app.stores.media.put("images/full", bytes(1024 * 1024))
        with pytest.raises(NotFound):
            app.stores.media.get("images/full")

        ballast.unlink()
        eventually(lambda: health(app)["status"] == "OK", timeout_s=60)
        assert [app.wait_for_end(job_id)["status"] for job_id in waiting] == ["COMPLETED"] * 3
        assert app.wait_for_end(app.submit())["status"] == "COMPLETED"
        assert [app.get_job(job_id)["results"] for job_id in kept] == [job["results"] for job in results]


def create_keys(app: AppClient) -> None:
    """Fill the last free page of the database and go on."""
    for number in range(1000):
        app.stores.api_keys.create(f"key {number}")


def refusal(app: AppClient) -> Any:
    """Submit a job; return the answer if it is refused."""
    response = app.post("/api/v1/jobs", json={"prompt": "a quiet lake at dawn"})
    return response if response.status_code >= 400 else None


@pytest.mark.parametrize("limit", ["free space", "size of files"])
def test_room_is_found_out_by_writing(tmp_path: Path, limit: str) -> None:
    """A quota or a limit of the process counts as a full disk as well; the answer is kept for a short time."""
    if limit == "size of files":
        script = f"""
import resource, pathlib
from stores.environment.disk_space import DiskSpace
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
print(DiskSpace({{"data": pathlib.Path({str(tmp_path)!r})}}).problem())
"""
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
        assert "The disk of the data folder is full: File too large." in done.stdout
        assert list(tmp_path.iterdir()) == []
        return
    with mount_small_disk() as folder:
        seconds = [0.0]
        disk = DiskSpace({"data": folder, "media": tmp_path / "missing"}, monotonic=lambda: seconds[0])
        assert (disk.problem(), disk.free_bytes() > MIN_FREE_BYTES) == ("", True)
        ballast = fill(folder)
        assert disk.problem() == ""
        seconds[0] += CHECK_INTERVAL_S
        assert "data folder is full" in disk.problem()
        assert disk.last_problem == disk.problem()
        ballast.unlink()
        seconds[0] += CHECK_INTERVAL_S
        assert disk.problem() == ""
