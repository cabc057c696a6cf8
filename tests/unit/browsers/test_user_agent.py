"""The user agent suffix and the settings around it."""

from dataclasses import replace

import pytest

from ops.infra.settings import Settings, SettingsError, load_settings
from workers.browsers.user_agent import user_agent_suffix


def test_the_user_agent_names_automation_and_contact(settings: Settings) -> None:
    """The suffix ends with "automated" and, if configured, the contact."""
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
def test_an_invalid_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The error names the setting."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        load_settings()
