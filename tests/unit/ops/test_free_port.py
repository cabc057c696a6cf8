"""Ports for servers that are started a moment later."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ops.infra.settings import ROOT
from ops.processes import web_command
from ops.processes.web_command import free_port

SCRIPT = """
import sys
from ops.processes.web_command import free_port
print(*[free_port() for _ in range(20)], flush=True)
sys.stdin.read()
"""


def test_no_port_is_given_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by one process nor by several, while these run; and the port is not one of outgoing connections."""
    range_file = tmp_path / "range"
    range_file.write_text("10181\t65535\n")
    monkeypatch.setattr(web_command, "PORT_RANGE_FILE", range_file)
    assert web_command._server_ports() == range(10_081, 10_181)
    lines = f"import pathlib, ops.processes.web_command as w; w.PORT_RANGE_FILE = pathlib.Path({str(range_file)!r})"
    with subprocess.Popen(
        [sys.executable, "-c", lines + SCRIPT], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        taken = set(map(int, other.stdout.readline().split()))
        own = {free_port() for _ in range(10)}
        other.communicate()

    assert (len(taken), len(own)) == (20, 10)
    assert not taken & own
    assert taken | own <= set(range(10_081, 10_181))


def test_a_port_of_a_server_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """If all are taken, an error says so."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(web_command, "_server_ports", lambda: [port])
        with pytest.raises(OSError, match="taken"):
            free_port()
    assert free_port() == port


@pytest.mark.parametrize(
    ("text", "ports"),
    [("1024 60999", range(61_000, 65_536)), ("1024 65535", range(10_081, 65_536)), ("", range(10_081, 49_152))],
)
def test_systems_divide_their_ports_differently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, ports: range
) -> None:
    """The larger part outside the range of outgoing connections is used; any port, if there is none."""
    monkeypatch.setattr(web_command, "PORT_RANGE_FILE", tmp_path / "range")
    (tmp_path / "range").write_text(text)

    assert web_command._server_ports() == ports
