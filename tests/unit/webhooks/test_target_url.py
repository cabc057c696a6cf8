"""Which addresses callers may have called, as far as that shows before anything is resolved; the command that tells."""

import io
import subprocess
import sys

import pytest
from click.testing import CliRunner
from rich.console import Console

from ops.cli import webhooks
from ops.infra.settings import ROOT
from schemas.errors import Invalid
from schemas.webhooks.target_url import parse_webhook_url


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://example.com/hook?a=1", "example.com", 443),
        ("http://example.com", "example.com", 80),
        ("https://example.com.:8443/", "example.com", 8443),
        ("https://B\u00fccher.example/", "xn--bcher-kva.example", 443),
        ("https://[::1%25eth0]:9000/", "::1", 9000),
        ("https://127.1/", "127.1", 443),
        ("https://EXAMPLE.com/", "example.com", 443),
    ],
)
def test_a_target_is_read_as_resolvers_take_it(url: str, host: str, port: int) -> None:
    """Nothing is guessed from a spelling."""
    target = parse_webhook_url(url)

    assert (host, port, url) == (target.host, target.port, target.url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "https://"),
        ("example.com/hook", "https://"),
        ("ftp://example.com/", "https://"),
        ("file:///etc/passwd", "https://"),
        ("gopher://example.com/", "https://"),
        ("https://", "no host"),
        ("https://./", "no host"),
        ("https://user@example.com/", "password"),
        ("https://:secret@example.com/", "password"),
        ("https://example.com:6379/", "6379"),
        ("https://example.com:22/", "22"),
        ("https://example.com:0/", "port 0"),
        ("https://example.com:99999/", "no address"),
        ("https://example.com:x/", "no address"),
        ("https://exa mple.com/", "blanks"),
        ("https://example.com\\@evil/", "backslash"),
        ("https://example.com/\r\nX: y", "blanks"),
        ("https://[::1/", "no address"),
        ("https://good.com%2eevil.com/", "'%'"),
        ("https://[::1::2]/", "no address"),
        ("https://" + "a" * 64 + ".example/", "no name"),
        ("https://example.com/" + "x" * 2048, "2048"),
    ],
)
def test_what_nobody_may_have_called_is_refused_with_the_reason(url: str, words: str) -> None:
    """Before anybody is asked where it leads."""
    with pytest.raises(Invalid) as caught:
        parse_webhook_url(url)

    assert words in caught.value.problems[0]


def check(monkeypatch: pytest.MonkeyPatch, url: str, addresses: list[str], **settings: str) -> tuple[int, str]:
    """What the command says when the host leads to these addresses."""
    monkeypatch.setattr(webhooks, "resolve", lambda _host, _port: addresses)
    done = CliRunner().invoke(webhooks.webhooks, ["check", url], env=settings)
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("url", "addresses", "settings", "code", "words"),
    [
        ("https://example.com/", ["93.184.215.14"], {}, 0, "May be called, at 93.184.215.14"),
        ("https://example.com/", ["127.0.0.1"], {}, 1, "127.0.0.0/8 (loopback)"),
        ("https://example.com/", ["10.0.0.1"], {}, 1, "EGRESS_ALLOW_PRIVATE=1"),
        ("https://example.com/", ["10.0.0.1"], {"EGRESS_ALLOW_PRIVATE": "1"}, 0, "allowed"),
        ("https://example.com/", ["10.0.0.1", "1.1.1.1"], {}, 0, "at 1.1.1.1"),
        ("https://example.com:9000/", ["::1"], {"EGRESS_ALLOW": "[::1]:9000"}, 0, "allowed"),
        ("https://example.com:9000/", ["::1"], {}, 1, "EGRESS_ALLOW=[::1]:9000"),
        ("http://example.com/", ["1.1.1.1"], {}, 1, "https only"),
        ("http://example.com:9000/", ["127.0.0.1"], {"EGRESS_ALLOW": "127.0.0.1:9000"}, 0, "allowed"),
        ("https://user@example.com/", [], {}, 1, "password"),
        ("https://example.com/", [], {}, 1, "no address"),
        ("https://example.com/", [], {"EGRESS_ALLOW": "example.com"}, 2, "neither a network nor"),
    ],
)
def test_the_command_says_what_was_found_and_what_would_open_it(  # noqa: PLR0917 - a row of the table
    monkeypatch: pytest.MonkeyPatch, url: str, addresses: list[str], settings: dict[str, str], code: int, words: str
) -> None:
    """By its table, its last line and its exit code."""
    told = check(monkeypatch, url, addresses, **settings)

    assert told[0] == code, told[1]
    assert words in " ".join(told[1].split())


LONG = "https://[64:ff9b:1:ffff:7f00:1:ffff:ffff]/"
OPENS = "EGRESS_ALLOW=[64:ff9b:1:ffff:7f00:1:ffff:ffff]:443"


def test_what_would_open_it_is_whole_for_programs() -> None:
    """In one line, whatever reads it."""
    done = subprocess.run(
        [sys.executable, "-m", "ops", "webhooks", "check", LONG], capture_output=True, text=True, check=False, cwd=ROOT
    )

    assert done.returncode == 1, done.stderr
    assert [line for line in done.stdout.splitlines() if OPENS in line]


def test_what_would_open_it_is_whole_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """In several lines."""
    screen = io.StringIO()
    monkeypatch.setattr(webhooks, "console", Console(file=screen, width=60, soft_wrap=True))

    CliRunner().invoke(webhooks.webhooks, ["check", LONG])
    column = "".join(line.split("│")[3].strip() for line in screen.getvalue().splitlines() if line.count("│") == 3)
    assert OPENS in column


def test_a_host_that_nobody_knows_is_said() -> None:
    """By the resolver's own words."""
    done = CliRunner().invoke(webhooks.webhooks, ["check", "https://nowhere.invalid/"])

    assert done.exit_code == 1
    assert "nowhere.invalid does not resolve" in done.output
