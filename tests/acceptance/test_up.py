"""``./darkroom up``, run as a user does."""

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from ops.infra.files import environment_lock
from ops.processes.web_command import free_port
from tests.acceptance.conftest import SCRIPT, STOP_TIMEOUT_S, await_end, darkroom_up, environment, submit
from tests.conftest import eventually
from workers.browsers.os_processes import cmdline

QUICK = {"width": 256, "height": 256, "steps": 4}
SLOW = {"width": 768, "height": 768, "steps": 40}


def all_dead(processes: list[psutil.Process]) -> bool:
    """Return whether none of the processes is alive."""
    return not any(map(_is_alive, processes))


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_concurrent_jobs_complete_and_sigterm_leaves_no_process(folder: Path) -> None:
    """Three jobs from an empty folder complete; SIGTERM stops every process and logs no error."""
    with darkroom_up(folder) as up:
        with up.client() as client:
            ids = [submit(client, "a village in the snow", seed=seed, **QUICK) for seed in range(3)]
            assert ["COMPLETED"] * 3 == [await_end(client, job_id)["status"] for job_id in ids]
            assert 3 == len({client.get(f"/{job_id}.png").content for job_id in ids})
            assert "OK" == client.get("/health").json()["status"]
        file = folder / "data" / "api-key.json"
        assert 0o600 == stat.S_IMODE(file.stat().st_mode)
        assert str(file) in up.output
        processes = up.descendants()
        assert 8 <= len(processes)
        # The lock that keeps an installation from removing the packages under a running Darkroom.
        lock = str((Path(sys.prefix) / environment_lock.FILE).resolve())
        web = next(process for process in processes if any("gunicorn" in part for part in cmdline(process)))
        for process in (psutil.Process(up.process.pid), web, up.find_role("worker")):
            assert lock in {file.path for file in process.open_files()}, process

        up.process.send_signal(signal.SIGTERM)
        assert 0 == up.process.wait(STOP_TIMEOUT_S)
        assert all_dead(processes)
        assert not (folder / "data" / "running.json").exists()
        lines = [json.loads(line) for line in up.output.splitlines() if line.startswith("{")]
        assert {"process.draining", "process.stopped"} <= {line["event"] for line in lines}
        assert [line for line in lines if line["level"] in ("error", "critical") or "exception" in line] == []
        assert "Traceback" not in up.output


def test_the_printed_lines_work_as_they_are(folder: Path) -> None:
    """Pasted into a shell, the command submits a job; the link signs in the first browser that follows it."""
    with darkroom_up(folder) as up:
        line = next(line for line in up.output.splitlines() if line.strip().startswith("curl"))
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True, env=environment())

        assert '"success":true' in done.stdout
        link = next(line.split()[1] for line in up.output.splitlines() if line.strip().startswith("open"))
        headers = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
        options: dict[str, Any] = {"headers": headers, "trust_env": False}
        with httpx.Client(**options) as first, httpx.Client(**options) as second:
            page, _, token = link.partition("#")
            assert [browser.get(link).status_code for browser in (first, second)] == [200, 200]
            answers = [browser.post(page, data={"token": token}) for browser in (first, second)]
            assert [answer.status_code for answer in answers] == [303, 404]
            assert "owner" == first.get(f"{up.url}/api/session").json()["name"]


def test_a_killed_worker_loses_no_job(folder: Path) -> None:
    """After kill -9 during a job the worker is restarted, the log records it, and the job completes."""
    with darkroom_up(folder) as up, up.client() as client:
        job_id = submit(client, "a castle above the sea", **SLOW)
        eventually(lambda: client.get(f"/status/{job_id}").json()["status"] == "PENDING")
        up.find_role("worker").send_signal(signal.SIGKILL)

        job = await_end(client, job_id)
        assert ("COMPLETED", 2) == (job["status"], job["attempt"])
        for event in ("process.died", "process.started_again", "job.lapsed"):
            assert event in up.output


def test_a_killed_browser_loses_no_job(folder: Path) -> None:
    """The attempt ends as browser_lost and the job is retried."""
    with darkroom_up(folder) as up, up.client() as client:
        job_id = submit(client, "a castle above the sea", **SLOW)
        eventually(lambda: client.get(f"/status/{job_id}").json()["progress"])
        for process in up.descendants():
            if any("--darkroom-browser=" in argument for argument in cmdline(process)):
                # Its other processes end when the first one does.
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

        job = await_end(client, job_id)
        assert ("COMPLETED", 2) == (job["status"], job["attempt"])
        assert "browser_lost" in up.output


def test_a_killed_redis_loses_no_data(folder: Path) -> None:
    """Jobs and images survive SIGKILL of Redis, and every process reconnects."""
    with darkroom_up(folder) as up, up.client() as client:
        done = submit(client, "a village in the snow", **QUICK)
        await_end(client, done)
        picture = client.get(f"/{done}").content
        redis = next(process for process in up.descendants() if "valkey-server" in process.name())
        redis.kill()

        # /health caches its response for a second, so the first one may be stale.
        eventually(lambda: picture == client.get(f"/{done}").content)
        eventually(lambda: client.get("/health").status_code == 200)
        assert "COMPLETED" == await_end(client, submit(client, "a village in the snow", **QUICK))["status"]


def test_sigkill_of_the_supervisor_leaves_no_process(folder: Path) -> None:
    """The parent-death signal ends the children, which end their own."""
    with darkroom_up(folder) as up:
        processes = up.descendants()
        up.process.kill()
        up.process.wait()

        eventually(lambda: all_dead(processes))


def test_a_job_interrupted_by_ctrl_c_continues_after_the_next_start(folder: Path) -> None:
    """Ctrl-C stops everything; the job completes after a restart on the same data folder."""
    with darkroom_up(folder) as up:
        with up.client() as client:
            job_id = submit(client, "a castle above the sea", **SLOW)
            eventually(lambda: client.get(f"/status/{job_id}").json()["status"] == "PENDING")
        processes = up.descendants()
        up.process.send_signal(signal.SIGINT)
        assert 0 == up.process.wait(STOP_TIMEOUT_S)
        assert all_dead(processes)

    with darkroom_up(folder) as up, up.client() as client:
        assert "COMPLETED" == await_end(client, job_id)["status"]


def run_up(folder: Path, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run ``./darkroom up`` where it cannot start."""
    command = [str(SCRIPT), "up", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment(**more), capture_output=True, text=True, timeout=110, check=False
    )


def assert_one_clear_line(done: "subprocess.CompletedProcess[str]", *texts: str) -> None:
    """Assert exit code 2 and one error line that contains all the texts."""
    lines = [line for line in done.stderr.splitlines() if line.startswith(("Error: ", "darkroom"))]
    assert (2, 1) == (done.returncode, len(lines)), done
    assert not [text for text in texts if text not in lines[0]], lines[0]
    assert "Traceback" not in done.stderr + done.stdout


def test_a_taken_port_is_one_clear_line(folder: Path) -> None:
    """The line names the port and the option; no process is left."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run_up(folder, "--port", port, "--data", str(folder / "data"))

    assert_one_clear_line(done, port, "taken", "--port")
    assert not (folder / "data" / "redis.sock").exists()


def test_a_second_start_on_the_same_data_is_one_clear_line(folder: Path) -> None:
    """The line has the URL of the running instance."""
    with darkroom_up(folder) as up:
        done = run_up(folder, "--port", str(free_port()), "--data", str(folder / "data"))

        assert_one_clear_line(done, "already runs", up.url)


@pytest.mark.parametrize(
    ("name", "value", "texts"),
    [
        ("WORKER_CONCURRENCY", "many", ["WORKER_CONCURRENCY"]),
        ("SITE", "nowhere", ["SITE", "nowhere", "studio"]),
        ("EGRESS_ALLOW", "example.com", ["EGRESS_ALLOW", "example.com"]),
        ("BROWSER", "/no/such/browser", ["BROWSER", "/no/such/browser"]),
        ("DATABASE_URL", "postgresql://127.0.0.1:9/none", ["database"]),
        ("REDIS_URL", "redis://127.0.0.1:9/0", ["REDIS_URL", "does not answer"]),
        ("BROKER_URL", "redis://127.0.0.1:9/0", ["BROKER_URL", "does not answer"]),
    ],
)
def test_a_bad_setting_is_one_clear_line(folder: Path, name: str, value: str, texts: list[str]) -> None:
    """The line names the setting."""
    done = run_up(folder, "--port", str(free_port()), "--data", str(folder / "data"), **{name: value})

    assert_one_clear_line(done, *texts)


def test_a_folder_that_cannot_be_written_is_one_clear_line(folder: Path) -> None:
    """A file in place of a parent folder fails even for root."""
    (folder / "file").write_text("in the way")

    done = run_up(folder, "--port", str(free_port()), "--data", str(folder / "file" / "data"))
    assert_one_clear_line(done, str(folder / "file" / "data"), "cannot be written")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_clear_line(folder: Path) -> None:
    """The message names the folder."""
    (folder / "locked").mkdir(mode=0o500)

    assert_one_clear_line(run_up(folder, "--data", str(folder / "locked" / "data")), "cannot be written")


def test_a_long_data_path_works(folder: Path) -> None:
    """The socket moves to a temporary folder if the data folder's path is too long for a Unix socket."""
    deep = folder / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    with darkroom_up(deep) as up, up.client() as client:
        assert "OK" == client.get("/health").json()["status"]


def test_two_workers_share_the_work(folder: Path) -> None:
    """``--workers 2`` starts two workers, and both become ready."""
    with darkroom_up(folder, "--workers", "2", WORKER_CONCURRENCY="1") as up, up.client() as client:
        eventually(lambda: client.get("/health").json()["workers"]["ready"] == 2)
        ids = [submit(client, "a village in the snow", seed=seed, **QUICK) for seed in range(4)]
        assert ["COMPLETED"] * 4 == [await_end(client, job_id)["status"] for job_id in ids]


def test_up_is_documented_by_its_help() -> None:
    """The help lists every option."""
    text = subprocess.run([str(SCRIPT), "up", "--help"], capture_output=True, text=True, check=True).stdout

    assert all(flag in text for flag in ("--port", "--data", "--workers"))


def test_malformed_http_is_a_400_and_is_not_logged(folder: Path) -> None:
    """Bad framing gets a JSON error; the prompt of a malformed request does not reach the log."""

    def send(up_port: int, data: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", up_port), timeout=60) as connection:
            connection.sendall(data)
            received = b""
            while not is_whole(received) and (part := connection.recv(4096)):
                received += part
            return received

    def is_whole(response: bytes) -> bool:
        head, end, body = response.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        return bool(end and length) and len(body) >= int(length[1] if length else 0)

    def parse(response: bytes) -> tuple[int, str]:
        head, _, body = response.partition(b"\r\n\r\n")
        assert json.loads(body)["requestId"].encode() in head
        assert json.loads(body)["message"] == json.loads(body)["error"]
        return int(head.split()[1]), json.loads(body)["error"]

    with darkroom_up(folder) as up, up.client() as client:
        key = client.headers["x-api-key"].encode()
        head = b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nx-api-key: " + key
        assert b" 400 " in send(up.port, head + b"\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n")
        assert parse(send(up.port, b"GET /generateImage?prompt=lighthouse\xff HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 400
        assert parse(send(up.port, b"NONSENSE\r\n\r\n")) == (
            400,
            "This is not valid HTTP: Invalid HTTP request line: 'NONSENSE'",
        )
        assert parse(send(up.port, b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n"))[0] == 431
        assert client.get("/generateImage", params={"prompt": "word " * 790}).status_code == 200
        assert client.get("/generateImage", params={"prompt": "\u00fc" * 3000}).json()["error"].endswith("by POST.")
        output = up.output

    assert (
        "lighthouse"
        not in output.split("Darkroom is ready")[0] + output.split("Try it:")[1].partition("\n\n")[2].partition("\n")[2]
    )
    assert not [line for line in output.splitlines() if line.startswith("[")]
    assert not list((folder / "data" / "scratch").iterdir())
