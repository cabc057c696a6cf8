"""The list of settings in force names every setting and its source, and shows no secret."""

from dataclasses import fields, replace

from ops.infra.setting_sources import GIVEN_VARIABLES, SettingSource, describe_settings
from ops.infra.settings import Settings

SECRETS = ("s3cr3t", "p@ss", "word", "t0ken")


def test_secrets_are_not_shown(base_settings: Settings) -> None:
    """Keys are hidden; URLs lose user names, passwords and the values of their queries."""
    settings = replace(
        base_settings,
        api_key="s3cr3t" * 10,
        session_key="s3cr3t",
        redis_url="rediss://user:p@ss/word@redis.example:6380/0?ssl_cert_reqs=none",
        database_url="postgresql+psycopg://u:p@ss@db.example/darkroom?pass=s3cr3t",
        browser_endpoint="wss://browsers.example/?token=t0ken",
        site_urls={"forge": "http://me:p@ss@10.0.0.7:7860/"},
    )

    described = {setting.variable: setting.value for setting in describe_settings(settings, {})}

    assert not [value for value in described.values() if any(secret in value for secret in SECRETS)]
    assert described["API_KEY"] == "set, not shown"
    assert described["DATABASE_URL"] == "postgresql+psycopg://…@db.example/darkroom?pass=…"
    assert described["SITE_URLS"] == "forge: http://…@10.0.0.7:7860/"
    assert described["CONTACT"] == "not set"


def test_every_setting_has_its_source(base_settings: Settings) -> None:
    """A variable comes from the environment, from ``up`` if it was not set before, else it is a default."""
    environment = {"PORT": "4000", "API_URL": "http://x", "REDIS_URL": "unix:///r", GIVEN_VARIABLES: "PORT API_URL"}

    sources = {setting.variable: setting.source for setting in describe_settings(base_settings, environment)}

    assert len(sources) == len(fields(Settings))
    assert sources["PORT"] is SettingSource.ENVIRONMENT
    assert sources["API_URL"] is SettingSource.ENVIRONMENT
    assert sources["REDIS_URL"] is SettingSource.UP
    assert sources["HOST"] is SettingSource.DEFAULT
