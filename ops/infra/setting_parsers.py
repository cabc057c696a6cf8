"""How single settings are read from the environment: what each may be, and what is said if it is not."""

import itertools
import os
import re
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from environs import Env, validate

UNLIMITED = -1
ENDPOINT_SCHEMES = ("ws", "wss", "cdp+ws", "cdp+wss", "cdp+http", "cdp+https")
CONTACT = re.compile(r"[\x21-\x7e]{3,200}")
SESSION_KEY = re.compile(r"[A-Za-z0-9_-]{43}=")
SITE_URL = re.compile(r"SITE_([A-Z0-9_]+)_URL")
SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel")
URL_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
REDIS_SCHEMES = ("redis", "rediss", "unix", *SENTINEL_SCHEMES)
MEDIA_URL = re.compile(r"file:///[^/].*|(s3|gs|az)://[^/?#@]+(/.*)?")


class SettingsError(Exception):
    """A setting has a value that cannot be used; the message is one line that names it."""


def comma_separated(env: Env, name: str) -> tuple[str, ...]:
    """What stands between commas."""
    return tuple(word.strip() for word in env.str(name, "").split(",") if word.strip())


def positive_int(env: Env, name: str, default: int) -> int:
    """A whole number from 1 on."""
    return env.int(name, default, validate=validate.Range(min=1))


def limit(env: Env, name: str, default: int) -> int:
    """A limit: a number, or ``unlimited``."""
    if env.str(name, str(default)) in ("unlimited", str(UNLIMITED)):
        return UNLIMITED
    return env.int(name, default, validate=validate.Range(min=0))


def public_url(env: Env, host: str, port: int) -> str:
    """What every address that is handed out begins with."""
    url = env.str("PUBLIC_URL", "") or env.str("API_URL", "") or f"http://{_connectable_host(host)}:{port}"
    if not _is_http(url):
        raise SettingsError(f"PUBLIC_URL: {url!r} is not an http:// or https:// address.")
    return url.rstrip("/")


def upgrade_url(env: Env) -> str | None:
    """Where a plan is to be had; None if nowhere."""
    url = env.str("UPGRADE_URL", "")
    if url and not _is_http(url):
        raise SettingsError(f"UPGRADE_URL: {url!r} is not an http:// or https:// address.")
    return url or None


def _connectable_host(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "") else f"[{host}]" if ":" in host else host  # noqa: S104 - compared, not bound


def site_urls() -> dict[str, str]:
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


def redis_url(env: Env, name: str, default: str) -> str:
    """The address of a Redis."""
    url = env.str(name, default)
    parts = urlsplit(url)
    if parts.scheme not in REDIS_SCHEMES:
        raise SettingsError(f"{name}: must begin with one of {', '.join(f'{one}://' for one in REDIS_SCHEMES)}.")
    if parts.scheme in SENTINEL_SCHEMES and not parts.path.strip("/"):
        raise SettingsError(
            f"{name}: behind Sentinel the path names the service: {parts.scheme}://HOST:PORT/SERVICE/DB."
        )
    return url


def api_key(env: Env) -> str | None:
    """The owner's key; None if it is made here."""
    key = env.str("API_KEY", "") or None
    if key is not None and len(key) < 16:
        raise SettingsError("API_KEY: shorter than 16 characters; take a random one, or leave it out and one is made.")
    return key


def contact(env: Env) -> str | None:
    """How sites may reach the operator; None if nobody says."""
    contact = env.str("CONTACT", "") or None
    if contact is not None and not CONTACT.fullmatch(contact):
        raise SettingsError("CONTACT: must be an address that sites can write to: a mail address or a URL.")
    return contact


def browser_endpoint(env: Env) -> str | None:
    """Where browsers are that run elsewhere; None if nowhere."""
    url = env.str("BROWSER_ENDPOINT", "") or None
    if url is not None and not (urlsplit(url).scheme in ENDPOINT_SCHEMES and urlsplit(url).netloc):
        raise SettingsError(
            f"BROWSER_ENDPOINT: must begin with one of {', '.join(f'{one}://' for one in ENDPOINT_SCHEMES)}."
        )
    return url


def session_key(env: Env) -> str | None:
    """What logins of sites are encrypted with; None if it is made here."""
    key = env.str("SESSION_KEY", "") or None
    if key is not None and not SESSION_KEY.fullmatch(key):
        raise SettingsError(
            "SESSION_KEY: must be 32 random bytes in URL-safe base64 (44 characters, the last one '=')."
        )
    return key


def database_url(env: Env, data_dir: Path) -> str:
    """The address of the database, as SQLAlchemy takes it."""
    url = env.str("DATABASE_URL", f"sqlite:///{data_dir / 'darkroom.sqlite3'}")
    for alias in ("postgres://", "postgresql://"):
        if url.startswith(alias):
            return "postgresql+psycopg://" + url.removeprefix(alias)
    return url


def media_url(env: Env, data_dir: Path) -> str:
    """The address of the media store."""
    url = env.str("MEDIA_URL", (data_dir / "media").as_uri())
    if not MEDIA_URL.fullmatch(url):
        raise SettingsError("MEDIA_URL: must be file:///FOLDER, s3://BUCKET, gs://BUCKET or az://ACCOUNT/CONTAINER.")
    return url


def folder(env: Env, name: str) -> Path | None:
    """A folder that is there; None if none is named."""
    text = env.str(name, "")
    return _existing_folder(name, text) if text else None


def folders(env: Env, name: str) -> tuple[Path, ...]:
    """Several folders, with ``:`` between them; none of them inside another. One is there; others may be away."""
    paths = tuple(_parse_folder(name, text) for text in env.str(name, "").split(os.pathsep) if text)
    if paths and not any(map(Path.exists, paths)):
        raise SettingsError(f"{name}: none of these folders is there: {', '.join(map(repr, map(str, paths)))}.")
    resolved = [path.resolve() for path in paths]
    for inner, outer in itertools.permutations(resolved, 2):
        if inner.is_relative_to(outer):
            raise SettingsError(f"{name}: {str(inner)!r} is inside {str(outer)!r}; name the outer one alone.")
    return paths


def url_path(env: Env, name: str, default: str) -> str:
    """A path of an address, without a slash at its end."""
    path = env.str(name, default)
    if not URL_PATH.fullmatch(path):
        raise SettingsError(
            f"{name}: {path!r} is not a path such as {default!r}: no slash at its end, nothing to escape."
        )
    return path


def _parse_folder(name: str, text: str) -> Path:
    """A folder, or nothing as yet: the disk may not be there."""
    path = Path(text).expanduser().absolute()
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        words = f"{name}: the folder's path {text!r} is not in UTF-8; rename it, or name a link to it."
        raise SettingsError(words) from error
    return _existing_folder(name, text) if path.exists() else path


def _existing_folder(name: str, text: str) -> Path:
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
