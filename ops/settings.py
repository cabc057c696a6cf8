"""Owns the settings: read once from the environment, checked, frozen.

Called by every entry point; the values travel from there as one ``Settings``.
"""

import itertools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, quote, urlsplit

from environs import Env, EnvError, validate

ROOT = Path(__file__).resolve().parent.parent
SHIPPED_RECIPES = ROOT / "workers" / "sites"
UNLIMITED = -1
ENDPOINT_SCHEMES = ("ws", "wss", "cdp+ws", "cdp+wss", "cdp+http", "cdp+https")
CONTACT = re.compile(r"[\x21-\x7e]{3,200}")
SESSION_KEY = re.compile(r"[A-Za-z0-9_-]{43}=")
SITE_URL = re.compile(r"SITE_([A-Z0-9_]+)_URL")
SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel")
BY_SELF, BY_X_ACCEL_REDIRECT, BY_X_SENDFILE = WAYS_OF_DOWNLOADS = ("self", "x-accel-redirect", "x-sendfile")
URL_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
REDIS_SCHEMES = ("redis", "rediss", "unix", *SENTINEL_SCHEMES)
MEDIA_URL = re.compile(r"file:///[^/].*|(s3|gs|az)://[^/?#@]+(/.*)?")


class SettingsError(Exception):
    """A setting has a value that cannot be used; the message is one line that names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of every process; ``docs/operations.md`` says what each means and which variable sets it."""

    host: str
    port: int
    public_url: str
    data_dir: Path
    api_key: str | None = field(repr=False)
    session_key: str | None = field(repr=False)
    redis_url: str = field(repr=False)
    broker_url: str = field(repr=False)
    database_url: str = field(repr=False)
    media_url: str = field(repr=False)
    site: str
    site_urls: Mapping[str, str] = field(repr=False)
    recipes_dir: Path | None
    models_dir: tuple[Path, ...]
    downloads_by: str
    x_accel_prefix: str
    worker_concurrency: int
    max_queue_size: int
    result_ttl_s: int
    job_deadline_s: int
    max_wait_s: int
    drain_grace_s: int
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
    egress_allow: tuple[str, ...]
    egress_allow_private: bool
    limit_queued_images: int
    limit_concurrent_images: int
    limit_daily_images: int
    limit_weekly_images: int
    rate_limit_submit: str
    rate_limit: str
    rate_limit_status: str
    rate_limit_address: str
    trusted_proxies: int
    require_subscription: bool
    upgrade_url: str | None
    log_level: str
    log_format: str


def load_settings() -> Settings:
    """The settings of this process's environment.

    Raises:
        SettingsError: one of them is wrong; the message names it.
    """
    try:
        return _read(Env())
    except EnvError as error:
        plain = str(error).replace("['", "").replace("']", "")
        raise SettingsError(" ".join(plain.split())) from error


def _read(env: Env) -> Settings:
    host = env.str("HOST", "127.0.0.1")
    port = env.int("PORT", 3000, validate=validate.Range(min=1, max=65535))
    data_dir = Path(env.str("DATA_DIR", ".darkroom")).expanduser().absolute()
    redis_url = _redis_url(env, "REDIS_URL", f"unix://{quote(str(data_dir / 'redis.sock'))}?db=0")
    return Settings(
        host=host,
        port=port,
        public_url=_public_url(env, host, port),
        data_dir=data_dir,
        api_key=_api_key(env),
        session_key=_session_key(env),
        redis_url=redis_url,
        broker_url=_redis_url(env, "BROKER_URL", second_database(redis_url)),
        database_url=_database_url(env, data_dir),
        media_url=_media_url(env, data_dir),
        site=env.str("SITE", "studio"),
        site_urls=_site_urls(),
        recipes_dir=_folder(env, "RECIPES_DIR"),
        models_dir=_folders(env, "MODELS_DIR"),
        downloads_by=env.str("DOWNLOADS_BY", BY_SELF, validate=validate.OneOf(WAYS_OF_DOWNLOADS)),
        x_accel_prefix=_url_path(env, "X_ACCEL_PREFIX", "/darkroom-models"),
        worker_concurrency=env.int("WORKER_CONCURRENCY", 2 * (os.cpu_count() or 1), validate=validate.Range(1, 256)),
        max_queue_size=_positive(env, "MAX_QUEUE_SIZE", 1000),
        result_ttl_s=_positive(env, "RESULT_TTL_S", 600),
        job_deadline_s=_positive(env, "JOB_DEADLINE_S", 300),
        max_wait_s=_positive(env, "MAX_WAIT_S", 3600),
        drain_grace_s=env.int("DRAIN_GRACE_S", 60, validate=validate.Range(min=0)),
        contact=_contact(env),
        browser=env.str("BROWSER", "") or None,
        browser_endpoint=_endpoint(env),
        browser_max_contexts=_positive(env, "BROWSER_MAX_CONTEXTS", 100),
        browser_max_age_s=_positive(env, "BROWSER_MAX_AGE_S", 3600),
        browser_max_memory_mb=_positive(env, "BROWSER_MAX_MEMORY_MB", 2048),
        web_concurrency=env.int("WEB_CONCURRENCY", 1, validate=validate.Range(1, 64)),
        cors_origins=_words(env, "CORS_ORIGINS"),
        socket_origins=_words(env, "SOCKET_ORIGINS"),
        allow_anonymous_workloads=env.bool("ALLOW_ANONYMOUS_WORKLOADS", False),
        egress_allow=_words(env, "EGRESS_ALLOW"),
        egress_allow_private=env.bool("EGRESS_ALLOW_PRIVATE", False),
        limit_queued_images=_limit(env, "LIMIT_QUEUED_IMAGES", 1000),
        limit_concurrent_images=_limit(env, "LIMIT_CONCURRENT_IMAGES", UNLIMITED),
        limit_daily_images=_limit(env, "LIMIT_DAILY_IMAGES", UNLIMITED),
        limit_weekly_images=_limit(env, "LIMIT_WEEKLY_IMAGES", UNLIMITED),
        rate_limit_submit=env.str("RATE_LIMIT_SUBMIT", "1200/minute"),
        rate_limit=env.str("RATE_LIMIT", "6000/minute"),
        rate_limit_status=env.str("RATE_LIMIT_STATUS", "60000/minute"),
        rate_limit_address=env.str("RATE_LIMIT_ADDRESS", "600/minute"),
        trusted_proxies=env.int("TRUSTED_PROXIES", 0, validate=validate.Range(0, 10)),
        require_subscription=env.bool("REQUIRE_SUBSCRIPTION", False),
        upgrade_url=_upgrade_url(env),
        log_level=env.str("LOG_LEVEL", "info", validate=validate.OneOf(["debug", "info", "warning", "error"])),
        log_format=env.str("LOG_FORMAT", "auto", validate=validate.OneOf(["auto", "json", "pretty"])),
    )


def _words(env: Env, name: str) -> tuple[str, ...]:
    """What stands between commas."""
    return tuple(word.strip() for word in env.str(name, "").split(",") if word.strip())


def _positive(env: Env, name: str, default: int) -> int:
    return env.int(name, default, validate=validate.Range(min=1))


def _limit(env: Env, name: str, default: int) -> int:
    """A limit: a number, or ``unlimited``."""
    if env.str(name, str(default)) in ("unlimited", str(UNLIMITED)):
        return UNLIMITED
    return env.int(name, default, validate=validate.Range(min=0))


def _public_url(env: Env, host: str, port: int) -> str:
    url = env.str("PUBLIC_URL", "") or env.str("API_URL", "") or f"http://{_reachable(host)}:{port}"
    if not _is_http(url):
        raise SettingsError(f"PUBLIC_URL: {url!r} is not an http:// or https:// address.")
    return url.rstrip("/")


def _upgrade_url(env: Env) -> str | None:
    url = env.str("UPGRADE_URL", "")
    if url and not _is_http(url):
        raise SettingsError(f"UPGRADE_URL: {url!r} is not an http:// or https:// address.")
    return url or None


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "") else f"[{host}]" if ":" in host else host  # noqa: S104 - compared, not bound


def _site_urls() -> dict[str, str]:
    """Where sites are, by name, from ``SITE_<NAME>_URL``; a name's ``-`` is written ``_``."""
    urls = {}
    for variable, url in os.environ.items():
        if found := SITE_URL.fullmatch(variable):
            if not _is_http(url):
                raise SettingsError(f"{variable}: {url!r} is not an http:// or https:// address.")
            urls[found[1].lower()] = url
    return urls


def _is_http(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _redis_url(env: Env, name: str, default: str) -> str:
    url = env.str(name, default)
    parts = urlsplit(url)
    if parts.scheme not in REDIS_SCHEMES:
        raise SettingsError(f"{name}: must begin with one of {', '.join(f'{one}://' for one in REDIS_SCHEMES)}.")
    if parts.scheme in SENTINEL_SCHEMES and not parts.path.strip("/"):
        raise SettingsError(
            f"{name}: behind Sentinel the path names the service: {parts.scheme}://HOST:PORT/SERVICE/DB."
        )
    return url


def _api_key(env: Env) -> str | None:
    key = env.str("API_KEY", "") or None
    if key is not None and len(key) < 16:
        raise SettingsError("API_KEY: shorter than 16 characters; take a random one, or leave it out and one is made.")
    return key


def _contact(env: Env) -> str | None:
    contact = env.str("CONTACT", "") or None
    if contact is not None and not CONTACT.fullmatch(contact):
        raise SettingsError("CONTACT: must be an address that sites can write to: a mail address or a URL.")
    return contact


def _endpoint(env: Env) -> str | None:
    url = env.str("BROWSER_ENDPOINT", "") or None
    if url is not None and not (urlsplit(url).scheme in ENDPOINT_SCHEMES and urlsplit(url).netloc):
        raise SettingsError(
            f"BROWSER_ENDPOINT: must begin with one of {', '.join(f'{one}://' for one in ENDPOINT_SCHEMES)}."
        )
    return url


def _session_key(env: Env) -> str | None:
    key = env.str("SESSION_KEY", "") or None
    if key is not None and not SESSION_KEY.fullmatch(key):
        raise SettingsError(
            "SESSION_KEY: must be 32 random bytes in URL-safe base64 (44 characters, the last one '=')."
        )
    return key


def _database_url(env: Env, data_dir: Path) -> str:
    url = env.str("DATABASE_URL", f"sqlite:///{data_dir / 'darkroom.sqlite3'}")
    for alias in ("postgres://", "postgresql://"):
        if url.startswith(alias):
            return "postgresql+psycopg://" + url.removeprefix(alias)
    return url


def _media_url(env: Env, data_dir: Path) -> str:
    url = env.str("MEDIA_URL", (data_dir / "media").as_uri())
    if not MEDIA_URL.fullmatch(url):
        raise SettingsError("MEDIA_URL: must be file:///FOLDER, s3://BUCKET, gs://BUCKET or az://ACCOUNT/CONTAINER.")
    return url


def _folder(env: Env, name: str) -> Path | None:
    text = env.str(name, "")
    return _existing(name, text) if text else None


def _folders(env: Env, name: str) -> tuple[Path, ...]:
    """Several folders, with ``:`` between them; none of them inside another."""
    paths = tuple(_existing(name, text) for text in env.str(name, "").split(os.pathsep) if text)
    resolved = [path.resolve() for path in paths]
    for inner, outer in itertools.permutations(resolved, 2):
        if inner.is_relative_to(outer):
            raise SettingsError(f"{name}: {str(inner)!r} is inside {str(outer)!r}; name the outer one alone.")
    return paths


def _url_path(env: Env, name: str, default: str) -> str:
    path = env.str(name, default)
    if not URL_PATH.fullmatch(path):
        raise SettingsError(
            f"{name}: {path!r} is not a path such as {default!r}: no slash at its end, nothing to escape."
        )
    return path


def _existing(name: str, text: str) -> Path:
    path = Path(text).expanduser().absolute()
    if not path.is_dir():
        raise SettingsError(f"{name}: {text!r} is not a folder.")
    return path


def second_database(redis_url: str) -> str:
    """The same server's next database, for the queue: dead workers' clean-up scans all keys of its database."""
    parts = urlsplit(redis_url)
    if parts.scheme == "unix":
        return redis_url.replace("db=0", "db=1") if "db=0" in redis_url else f"{redis_url}?db=1"
    *service, number = parts.path.strip("/").split("/") if _has_database(parts) else [parts.path.strip("/"), "0"]
    following = str(int(number or 0) + 1)
    return parts._replace(path="/" + "/".join([*filter(None, service), following])).geturl()


def _has_database(parts: SplitResult) -> bool:
    """Behind Sentinel the path begins with the service's name."""
    return parts.path.strip("/").count("/") == (1 if "sentinel" in parts.scheme else 0)
