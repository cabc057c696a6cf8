"""Syntax and port rules of webhook URLs, and the command ``webhooks check``."""

import io
import subprocess
import sys

import pytest
from click.testing import CliRunner
from rich.console import Console

from ops.cli import webhooks
from ops.infra.settings import ROOT
from schemas.errors import Invalid
from schemas.http.webhook_url import parse_webhook_url


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
def test_host_and_port_are_parsed_in_the_form_for_resolvers(url: str, host: str, port: int) -> None:
    """Unusual spellings of an address are left to the resolver."""
    target = parse_webhook_url(url)

    assert (host, port, url) == (target.host, target.port, target.url)


@pytest.mark.parametrize(
    ("url", "message"),
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
        ("https://example.com:0/", "Port 0"),
        ("https://example.com:99999/", "Not a valid URL"),
        ("https://example.com:x/", "Not a valid URL"),
        ("https://exa mple.com/", "white space"),
        ("https://example.com\\@evil/", "backslash"),
        ("https://example.com/\r\nX: y", "white space"),
        ("https://[::1/", "Not a valid URL"),
        ("https://good.com%2eevil.com/", "'%'"),
        ("https://[::1::2]/", "Not a valid URL"),
        ("https://" + "a" * 64 + ".example/", "not a valid name"),
        ("https://example.com/" + "x" * 2048, "2048"),
    ],
)
def test_a_url_that_is_never_allowed_is_rejected_with_the_reason(url: str, message: str) -> None:
    """The check needs no name resolution."""
    with pytest.raises(Invalid) as caught:
        parse_webhook_url(url)

    assert message in caught.value.problems[0]


def run_check(monkeypatch: pytest.MonkeyPatch, url: str, addresses: list[str], **settings: str) -> tuple[int, str]:
    """Return exit code and output of the command for a host with these addresses."""
    monkeypatch.setattr(webhooks, "resolve", lambda _host, _port: addresses)
    result = CliRunner().invoke(webhooks.webhooks, ["check", url], env=settings)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("url", "addresses", "settings", "expected_code", "message"),
    [
        ("https://example.com/", ["93.184.215.14"], {}, 0, "May be called, at 93.184.215.14"),
        ("https://example.com/", ["127.0.0.1"], {}, 1, "127.0.0.0/8 (loopback)"),
        ("https://example.com/", ["10.0.0.1"], {}, 1, "EGRESS_ALLOW_PRIVATE=1"),
        ("https://example.com/", ["10.0.0.1"], {"EGRESS_ALLOW_PRIVATE": "1"}, 0, "allowed"),
        ("https://example.com/", ["10.0.0.1", "1.1.1.1"], {}, 0, "at 1.1.1.1"),
        ("https://example.com:9000/", ["::1"], {"EGRESS_ALLOW": "[::1]:9000"}, 0, "allowed"),
        ("https://example.com:9000/", ["::1"], {}, 1, "EGRESS_ALLOW=[::1]:9000"),
        ("http://example.com/", ["1.1.1.1"], {}, 1, "require https"),
        ("http://example.com:9000/", ["127.0.0.1"], {"EGRESS_ALLOW": "127.0.0.1:9000"}, 0, "allowed"),
        ("https://user@example.com/", [], {}, 1, "password"),
        ("https://example.com/", [], {}, 1, "no address that may be called"),
        ("https://example.com/", [], {"EGRESS_ALLOW": "example.com"}, 2, "neither a network nor"),
    ],
)
def test_the_command_reports_the_decision_and_the_setting_that_would_allow_it(  # noqa: PLR0917 - a row of the table
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    addresses: list[str],
    settings: dict[str, str],
    expected_code: int,
    message: str,
) -> None:
    """The table, the last line and the exit code agree."""
    exit_code, output = run_check(monkeypatch, url, addresses, **settings)

    assert exit_code == expected_code, output
    assert message in " ".join(output.split())


LONG_URL = "https://[64:ff9b:1:ffff:7f00:1:ffff:ffff]/"
ALLOW_SETTING = "EGRESS_ALLOW=[64:ff9b:1:ffff:7f00:1:ffff:ffff]:443"


def test_the_setting_is_printed_on_one_line_when_piped() -> None:
    """Programs that read the output get the setting unbroken."""
    result = subprocess.run(
        [sys.executable, "-m", "ops", "webhooks", "check", LONG_URL],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )

    assert result.returncode == 1, result.stderr
    assert [line for line in result.stdout.splitlines() if ALLOW_SETTING in line]


def test_the_setting_is_wrapped_but_complete_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table folds the setting over several lines instead of truncating it."""
    screen = io.StringIO()
    monkeypatch.setattr(webhooks, "console", Console(file=screen, width=60, soft_wrap=True))

    CliRunner().invoke(webhooks.webhooks, ["check", LONG_URL])
    column = "".join(line.split("│")[3].strip() for line in screen.getvalue().splitlines() if line.count("│") == 3)
    assert ALLOW_SETTING in column


def test_an_unknown_host_is_reported() -> None:
    """The message names the host."""
    result = CliRunner().invoke(webhooks.webhooks, ["check", "https://nowhere.invalid/"])

    assert result.exit_code == 1
    assert "nowhere.invalid does not resolve" in result.output
