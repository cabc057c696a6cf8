"""All settings, read once per process from environment variables, checked and frozen."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from environs import Env, EnvError, validate

from ops.infra import setting_parsers
from ops.infra.setting_parsers import (
    SENTINEL_SCHEMES,
    UNLIMITED,
    RedisServer,
    SettingsError,
    check_queue_size,
    next_database,
    pair_redis_urls,
)

__all__ = [
    "DOWNLOADS_DIRECT",
    "DOWNLOADS_X_ACCEL_REDIRECT",
    "DOWNLOADS_X_SENDFILE",
    "ROOT",
    "SENTINEL_SCHEMES",
    "SHIPPED_RECIPES",
    "UNLIMITED",
    "Settings",
    "SettingsError",
    "load_settings",
    "next_database",
]

ROOT = Path(__file__).resolve().parent.parent.parent
SHIPPED_RECIPES = ROOT / "workers" / "sites" / "recipes"
DOWNLOADS_DIRECT, DOWNLOADS_X_ACCEL_REDIRECT, DOWNLOADS_X_SENDFILE = DOWNLOAD_MODES = (
    "self",
    "x-accel-redirect",
    "x-sendfile",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of every process. Each field is set by the variable of the same name; see ``docs/operations.md``."""

    host: str
    port: int
    public_url: str
    data_dir: Path
    api_key: str | None = field(repr=False)
    session_key: str | None = field(repr=False)
    redis_url: str = field(repr=False)
    broker_url: str = field(repr=False)
    redis_ssl_cert_reqs: str
    database_url: str = field(repr=False)
    media_url: str = field(repr=False)
    result_store: str
    media_public_endpoint: str | None
    site: str
    site_url: str | None = field(repr=False)
    site_urls: Mapping[str, str] = field(repr=False)
    recipes_dir: Path | None
    models_dir: tuple[Path, ...]
    expose_paths: bool
    rescan_every_s: int
    hash_rate_mb_s: int
    downloads_by: str
    x_accel_prefix: str
    worker_concurrency: int
    max_queue_size: int
    result_ttl_s: int
    job_deadline_s: int
    max_wait_s: int
    drain_grace_s: int
    stop_timeout_s: int
    contact: str | None
    browser: str | None
    browser_endpoint: str | None = field(repr=False)
    browser_max_contexts: int
    browser_max_age_s: int
    browser_max_memory_mb: int
    web_concurrency: int
    cors_origins: tuple[str, ...]
    socket_origins: tuple[str, ...]
    allow_anonymous_workloads: bool
    allow_anonymous_sdapi: bool
    gallery_public: bool
    egress_allow: tuple[str, ...]
    egress_allow_private: bool
    limit_queued_images: int
    limit_concurrent_images: int
    limit_daily_images: int
    limit_weekly_images: int
    limit_open_uploads: int
    rate_limit_submit: str
    rate_limit: str
    rate_limit_status: str
    rate_limit_address: str
    trusted_proxies: int
    require_subscription: bool
    upgrade_url: str | None
    log_level: str
    log_format: str
    liveness_file: Path | None
    log_requests: bool

    @property
    def redis_servers(self) -> tuple[RedisServer, ...]:
        """The servers that REDIS_URL and BROKER_URL name, at least one; raises SettingsError."""
        return pair_redis_urls(self.redis_url, self.broker_url)


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: a value is invalid; the message names the variable.
    """
    try:
        settings = _read(Env())
    except EnvError as error:
        # environs quotes marshmallow's list of problems; the message must be one line.
        message = str(error).replace("['", "").replace("']", "")
        raise SettingsError(" ".join(message.split())) from error
    check_queue_size(settings.max_queue_size, len(settings.redis_servers))
    return settings


def _read(env: Env) -> Settings:
    return Settings(
        **_read_addresses(env),
        **_read_stores(env),
        **_read_sites_and_library(env),
        **_read_jobs(env),
        **_read_browsers(env),
        **_read_access(env),
        **_read_limits(env),
        **_read_logs(env),
    )


def _read_addresses(env: Env) -> dict[str, Any]:
    host = env.str("HOST", "127.0.0.1")
    port = env.int("PORT", 3000, validate=validate.Range(min=1, max=65535))
    return {
        "host": host,
        "port": port,
        "public_url": setting_parsers.public_url(env, host, port),
        "web_concurrency": env.int("WEB_CONCURRENCY", 1, validate=validate.Range(1, 64)),
        "trusted_proxies": env.int("TRUSTED_PROXIES", 0, validate=validate.Range(0, 10)),
        "cors_origins": setting_parsers.comma_separated(env, "CORS_ORIGINS"),
        "socket_origins": setting_parsers.comma_separated(env, "SOCKET_ORIGINS"),
    }


def _read_stores(env: Env) -> dict[str, Any]:
    data_dir = Path(env.str("DATA_DIR", ".darkroom")).expanduser().absolute()
    redis_url = setting_parsers.redis_urls(env, "REDIS_URL", f"unix://{quote(str(data_dir / 'redis.sock'))}?db=0")
    return {
        "data_dir": data_dir,
        "redis_url": redis_url,
        "broker_url": setting_parsers.redis_urls(env, "BROKER_URL", next_database(redis_url)),
        "redis_ssl_cert_reqs": setting_parsers.redis_ssl_cert_reqs(env),
        "database_url": setting_parsers.database_url(env, data_dir),
        "media_url": setting_parsers.media_url(env, data_dir),
        "media_public_endpoint": setting_parsers.optional_url(env, "MEDIA_PUBLIC_ENDPOINT"),
        "result_store": env.str("RESULT_STORE", "auto", validate=validate.OneOf(["auto", "redis", "media"])),
    }


def _read_sites_and_library(env: Env) -> dict[str, Any]:
    return {
        "site": env.str("SITE", "studio"),
        "site_url": setting_parsers.optional_url(env, "SITE_URL"),
        "site_urls": setting_parsers.site_urls(),
        "recipes_dir": setting_parsers.folder(env, "RECIPES_DIR"),
        "contact": setting_parsers.contact(env),
        "models_dir": setting_parsers.folders(env, "MODELS_DIR"),
        "expose_paths": env.bool("EXPOSE_PATHS", False),
        "rescan_every_s": setting_parsers.positive_int(env, "RESCAN_EVERY_S", 3600),
        "hash_rate_mb_s": env.int("HASH_RATE_MB_S", 200, validate=validate.Range(min=0)),
        "downloads_by": env.str("DOWNLOADS_BY", DOWNLOADS_DIRECT, validate=validate.OneOf(DOWNLOAD_MODES)),
        "x_accel_prefix": setting_parsers.url_path(env, "X_ACCEL_PREFIX", "/darkroom-models"),
    }


def _read_jobs(env: Env) -> dict[str, Any]:
    concurrency = 2 * (os.cpu_count() or 1)
    return {
        "worker_concurrency": env.int("WORKER_CONCURRENCY", concurrency, validate=validate.Range(1, 256)),
        "max_queue_size": setting_parsers.positive_int(env, "MAX_QUEUE_SIZE", 1000),
        "result_ttl_s": setting_parsers.positive_int(env, "RESULT_TTL_S", 600),
        "job_deadline_s": setting_parsers.positive_int(env, "JOB_DEADLINE_S", 300),
        "max_wait_s": setting_parsers.positive_int(env, "MAX_WAIT_S", 3600),
        "drain_grace_s": env.int("DRAIN_GRACE_S", 60, validate=validate.Range(min=0)),
        "stop_timeout_s": env.int("STOP_TIMEOUT_S", 0, validate=validate.Range(min=0)),
    }


def _read_browsers(env: Env) -> dict[str, Any]:
    return {
        "browser": env.str("BROWSER", "") or None,
        "browser_endpoint": setting_parsers.browser_endpoint(env),
        "browser_max_contexts": setting_parsers.positive_int(env, "BROWSER_MAX_CONTEXTS", 100),
        "browser_max_age_s": setting_parsers.positive_int(env, "BROWSER_MAX_AGE_S", 3600),
        "browser_max_memory_mb": setting_parsers.positive_int(env, "BROWSER_MAX_MEMORY_MB", 2048),
    }


def _read_access(env: Env) -> dict[str, Any]:
    return {
        "api_key": setting_parsers.api_key(env),
        "session_key": setting_parsers.session_key(env),
        "allow_anonymous_workloads": env.bool("ALLOW_ANONYMOUS_WORKLOADS", False),
        "allow_anonymous_sdapi": env.bool("ALLOW_ANONYMOUS_SDAPI", False),
        "gallery_public": env.bool("GALLERY_PUBLIC", False),
        "egress_allow": setting_parsers.comma_separated(env, "EGRESS_ALLOW"),
        "egress_allow_private": env.bool("EGRESS_ALLOW_PRIVATE", False),
        "require_subscription": env.bool("REQUIRE_SUBSCRIPTION", False),
        "upgrade_url": setting_parsers.optional_url(env, "UPGRADE_URL"),
    }


def _read_limits(env: Env) -> dict[str, Any]:
    return {
        "limit_queued_images": setting_parsers.limit(env, "LIMIT_QUEUED_IMAGES", 1000),
        "limit_concurrent_images": setting_parsers.limit(env, "LIMIT_CONCURRENT_IMAGES", UNLIMITED),
        "limit_daily_images": setting_parsers.limit(env, "LIMIT_DAILY_IMAGES", UNLIMITED),
        "limit_weekly_images": setting_parsers.limit(env, "LIMIT_WEEKLY_IMAGES", UNLIMITED),
        "limit_open_uploads": setting_parsers.limit(env, "LIMIT_OPEN_UPLOADS", 100),
        "rate_limit_submit": env.str("RATE_LIMIT_SUBMIT", "1200/minute"),
        "rate_limit": env.str("RATE_LIMIT", "6000/minute"),
        "rate_limit_status": env.str("RATE_LIMIT_STATUS", "60000/minute"),
        "rate_limit_address": env.str("RATE_LIMIT_ADDRESS", "600/minute"),
    }


def _read_logs(env: Env) -> dict[str, Any]:
    return {
        "log_level": env.str("LOG_LEVEL", "info", validate=validate.OneOf(["debug", "info", "warning", "error"])),
        "log_format": env.str("LOG_FORMAT", "auto", validate=validate.OneOf(["auto", "json", "pretty"])),
        "log_requests": env.bool("LOG_REQUESTS", True),
        "liveness_file": setting_parsers.file_in_folder(env, "LIVENESS_FILE"),
    }
