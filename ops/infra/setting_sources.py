"""The settings in force, with where each comes from, for people to read; secrets are never shown."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from ops.infra.setting_parsers import split_redis_urls
from ops.infra.settings import UNLIMITED, Settings

# Passed on by ``./darkroom up``: the variables that were set before it added its own.
GIVEN_VARIABLES = "DARKROOM_GIVEN_VARIABLES"
SECRETS = frozenset({"api_key", "session_key"})
REDIS_SETTINGS = frozenset({"redis_url", "broker_url"})
# Other names of variables.
ALIASES = {"public_url": ("PUBLIC_URL", "API_URL")}
HIDDEN = "set, not shown"
NOT_SET = "not set"


class SettingSource(StrEnum):
    """Where a setting comes from."""

    ENVIRONMENT = "environment"
    UP = "./darkroom up"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class SettingInForce:
    """A setting: its variable, its value as text without secrets, and its source."""

    variable: str
    value: str
    source: SettingSource


def remember_given_variables() -> None:
    """Record in the environment which settings are given by it, before a command adds its own."""
    names = {name for field in fields(Settings) for name in _variables(field.name)}
    os.environ[GIVEN_VARIABLES] = " ".join(sorted(names & set(os.environ)))


def describe_settings(settings: Settings, environment: Mapping[str, str] = os.environ) -> list[SettingInForce]:
    """Return every setting, by the name of its variable."""
    given = environment[GIVEN_VARIABLES].split() if GIVEN_VARIABLES in environment else None
    described = []
    for field in fields(settings):
        names = _variables(field.name)
        variable = next((name for name in names if environment.get(name)), None)
        if variable is None:
            source = SettingSource.DEFAULT
        else:
            is_given = given is None or variable in given
            source = SettingSource.ENVIRONMENT if is_given else SettingSource.UP
        value = getattr(settings, field.name)
        text = _describe(field.name, tuple(split_redis_urls(value)) if field.name in REDIS_SETTINGS else value)
        described.append(SettingInForce(variable or names[0], text, source))
    return sorted(described, key=lambda setting: setting.variable)


def _variables(field_name: str) -> tuple[str, ...]:
    return ALIASES.get(field_name, (field_name.upper(),))


def _describe(name: str, value: Any) -> str:
    if name in SECRETS:
        return HIDDEN if value else NOT_SET
    if value is None or value in ("", (), {}):
        return NOT_SET
    if isinstance(value, bool | int):
        return _describe_number(name, value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_describe_text(str(url))}" for key, url in value.items())
    if isinstance(value, tuple):
        return ", ".join(_describe_text(str(part)) for part in value)
    return str(value) if isinstance(value, Path) else _describe_text(str(value))


def _describe_number(name: str, value: bool | int) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "unlimited" if name.startswith("limit_") and value == UNLIMITED else str(value)


def _describe_text(text: str) -> str:
    """Return a text without what may be secret in a URL: user name, password, and the values of its query."""
    if "://" not in text:
        return text
    scheme, _, rest = text.partition("://")
    # Everything before the last @: passwords may have any characters.
    credentials, at, rest = rest.rpartition("@")
    body, _, query = rest.partition("?")
    names = [part.partition("=")[0] for part in query.split("&") if part]
    return f"{scheme}://{'…@' if credentials or at else ''}{body}" + "".join(
        f"{'&' if number else '?'}{name}=…" for number, name in enumerate(names)
    )
