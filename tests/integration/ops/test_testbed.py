"""The means by which fault injection sets clocks wrong and fills disks."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ops.infra.settings import ROOT
from ops.testbed.skewed_clock import write_offset
from ops.testbed.small_disk import FileSizeLimits, mount_small_disk

SHOW_TIMES = """
import sys, time
for line in sys.stdin:
    print(time.time(), time.time_ns() / 1e9, time.monotonic(), *sys.argv[1:], flush=True)
"""


def test_the_clock_of_a_module_is_set_while_it_runs(tmp_path: Path) -> None:
    """Its system clock is wrong by what the file says at the moment; its steady clock and its arguments are right."""
    file = tmp_path / "offset"
    write_offset(file, 90)
    (tmp_path / "show_times.py").write_text(SHOW_TIMES)
    command = [sys.executable, "-m", "ops.testbed.skewed_clock", str(file), "show_times", "one", "two"]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:
        assert process.stdin
        assert process.stdout
        for seconds in (90, -90, 0):
            write_offset(file, seconds)
            process.stdin.write("\n")
            system, system_ns, steady, *arguments = process.stdout.readline().split()
            assert abs(float(system) - time.time() - seconds) < 20
            assert abs(float(system_ns) - time.time() - seconds) < 20
            assert abs(float(steady) - time.monotonic()) < 20
            assert arguments == ["one", "two"]
        process.stdin.close()


def test_a_small_disk_is_full_for_a_while() -> None:
    """New files cannot be written then, and after it they can; nothing stays mounted."""
    with mount_small_disk(1024 * 1024, prefix="dr-") as disk:
        if disk is None:
            pytest.skip("this user may not mount a file system")
        folder = disk.folder
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            (folder / "file").write_bytes(bytes(5000))
        disk.free()
        (folder / "file").write_bytes(bytes(5000))
        assert os.path.ismount(folder)
    assert not folder.exists()


def test_limits_of_processes_simulate_a_full_disk(tmp_path: Path) -> None:
    """Writes of a running process fail while they are set, and the process goes on."""
    script = f"""
import pathlib, sys
for line in sys.stdin:
    try:
        pathlib.Path({str(tmp_path / "file")!r}).write_bytes(bytes(5000))
        print("written", flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
"""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:
        assert process.stdin
        assert process.stdout
        disk = FileSizeLimits(lambda: [psutil.Process(process.pid)])
        answers = []
        for change in (lambda: None, disk.fill, disk.free):
            change()
            process.stdin.write("\n")
            answers.append(process.stdout.readline().strip())
        process.stdin.close()
    assert answers == ["written", "File too large", "written"]
