"""What Darkroom's browsers say of themselves."""

from dataclasses import replace

import pytest

from ops.infra.settings import Settings, SettingsError, load_settings
from workers.browsers.user_agent import user_agent_suffix


def test_the_user_agent_is_honest(settings: Settings) -> None:
    """It says that a program is at work, and whom to write to."""
    assert user_agent_suffix(replace(settings, contact=None)).endswith("(automated)")
    assert user_agent_suffix(replace(settings, contact="me@example.com")).endswith("(automated; +me@example.com)")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONTACT", "two words"),
        ("CONTACT", "line\nbreak"),
        ("SESSION_KEY", "short"),
        ("BROWSER_ENDPOINT", "http://127.0.0.1"),
        ("BROWSER_ENDPOINT", "ws://"),
    ],
)
def test_a_bad_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """In one line."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        load_settings()
