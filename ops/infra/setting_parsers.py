"""Parsers of single settings: each returns a checked value or raises a SettingsError that names the variable."""

import itertools
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, parse_qsl, urlencode, urlsplit

from environs import Env, validate

UNLIMITED = -1
MIN_API_KEY_CHARS = 16
ENDPOINT_SCHEMES = ("ws", "wss", "cdp+ws", "cdp+wss", "cdp+http", "cdp+https")
CONTACT = re.compile(r"[\x21-\x7e]{3,200}")
SESSION_KEY = re.compile(r"[A-Za-z0-9_-]{43}=")
SITE_URL = re.compile(r"SITE_([A-Z0-9_]+)_URL")
SENTINEL_SCHEMES = ("redis+sentinel", "rediss+sentinel")
URL_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
SQLITE_URL = re.compile(r"sqlite:///[^?]+(\?.*)?", re.DOTALL)
POSTGRESQL_SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")
REDIS_SCHEMES = ("redis", "rediss", "unix", *SENTINEL_SCHEMES)
# Sentinel's URLs contain commas themselves.
BETWEEN_REDIS_URLS = re.compile(r"[,\s]+(?=[a-z+]+://)")
# A server has at least half of its even share of the free room, and a request may be for 16 pictures.
MIN_QUEUE_SIZE_OF_SERVER = 32
MAX_REDIS_SERVERS = 16
MEDIA_URL = re.compile(r"file:///[^/].*|(s3|gs|az)://[^/?#@]+(/.*)?")


class SettingsError(Exception):
    """A setting has an invalid value; the message is one line that names it."""


class UnreachableError(Exception):
    """The server that ``setting`` names does not respond; the message is its driver's, without secrets."""

    def __init__(self, setting: str, message: str) -> None:
        super().__init__(message)
        self.setting = setting


@dataclass(frozen=True, slots=True)
class RedisServer:
    """The URLs of one server's database of jobs and of its queue."""

    url: str = field(repr=False)
    broker_url: str = field(repr=False)

    @property
    def name(self) -> str:
        """Where the jobs are, without anything secret: what people read, and what callers are distributed by."""
        return redis_name(self.url)


def comma_separated(env: Env, name: str) -> tuple[str, ...]:
    """Return the values between the commas, without spaces around them."""
    return tuple(value.strip() for value in env.str(name, "").split(",") if value.strip())


def positive_int(env: Env, name: str, default: int) -> int:
    """Return an integer of 1 or more."""
    return env.int(name, default, validate=validate.Range(min=1))


def limit(env: Env, name: str, default: int) -> int:
    """Return a number of 0 or more, or UNLIMITED."""
    if env.str(name, str(default)) in ("unlimited", str(UNLIMITED)):
        return UNLIMITED
    return env.int(name, default, validate=validate.Range(min=0))


def public_url(env: Env, host: str, port: int) -> str:
    """Return the prefix of every URL in responses, without a slash at its end."""
    url = env.str("PUBLIC_URL", "") or env.str("API_URL", "") or f"http://{url_host(connectable_host(host))}:{port}"
    if not _is_http(url):
        raise SettingsError(f"PUBLIC_URL: {url!r} is not an http:// or https:// URL.")
    return url.rstrip("/")


def optional_url(env: Env, name: str) -> str | None:
    """Return an http:// or https:// URL; None if the variable is not set."""
    url = env.str(name, "")
    if url and not _is_http(url):
        raise SettingsError(f"{name}: {url!r} is not an http:// or https:// URL.")
    return url or None


def url_host(host: str) -> str:
    """Return a host or IP address as it is written in a URL: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


def connectable_host(host: str) -> str:
    """Return the address at which this machine reaches a server that listens on ``host``."""
    # A server that listens on "::" need not listen for IPv4.
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def site_urls() -> dict[str, str]:
    """Return the URLs of ``SITE_<NAME>_URL`` variables by lower-case name; a ``-`` in a name is written ``_``."""
    urls = {}
    for variable, url in os.environ.items():
        if match := SITE_URL.fullmatch(variable):
            if not _is_http(url):
                raise SettingsError(f"{variable}: {url!r} is not an http:// or https:// URL.")
            urls[match[1].lower()] = url
    return urls


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # Reading the port checks it.
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def redis_ssl_cert_reqs(env: Env) -> str:
    """Return how certificates are verified where the URL does not say it."""
    return env.str("REDIS_SSL_CERT_REQS", "required", validate=validate.OneOf(["required", "optional", "none"]))


def redis_urls(env: Env, name: str, default: str) -> str:
    """Return the URLs of Redis servers, with a comma between them; those with TLS say how certificates are verified."""
    text = env.str(name, default)
    return ",".join(_redis_url(env, name, url) for url in split_redis_urls(text) or [text])


def split_redis_urls(text: str) -> list[str]:
    """Return the URLs between commas and white space."""
    return [url for url in BETWEEN_REDIS_URLS.split(text.strip().rstrip(", ")) if url]


def pair_redis_urls(redis_urls: str, broker_urls: str) -> tuple[RedisServer, ...]:
    """Return the servers that REDIS_URL and BROKER_URL name.

    Raises:
        SettingsError: the lists do not belong together, or servers would write into each other's databases.
    """
    jobs, queues = split_redis_urls(redis_urls), split_redis_urls(broker_urls)
    if len(jobs) != len(queues):
        raise SettingsError(
            f"BROKER_URL: names {len(queues)} databases and REDIS_URL {len(jobs)}; name one for each, in their order."
        )
    servers = tuple(map(RedisServer, jobs, queues))
    if len(servers) > 1:
        _check_servers(servers)
    return servers


def check_queue_size(max_queue_size: int, servers: int) -> None:
    """Raise SettingsError if an idle server could refuse a request for several pictures."""
    if servers > 1 and max_queue_size < servers * MIN_QUEUE_SIZE_OF_SERVER:
        raise SettingsError(
            f"MAX_QUEUE_SIZE: {servers} Redis servers share it; set it to {servers * MIN_QUEUE_SIZE_OF_SERVER} or more."
        )


def _check_servers(servers: tuple[RedisServer, ...]) -> None:
    if len(servers) > MAX_REDIS_SERVERS:
        raise SettingsError(f"REDIS_URL: names {len(servers)} servers; at most {MAX_REDIS_SERVERS} are used.")
    if len({server.url.startswith("unix:") for server in servers}) > 1:
        raise SettingsError("REDIS_URL: names sockets (unix://) and servers of the network; name one kind only.")
    owners: dict[str, int] = {}
    for number, server in enumerate(servers):
        # One server's jobs and queue may share a database.
        for database in {server.name, redis_name(server.broker_url)}:
            if owners.setdefault(database, number) != number:
                raise SettingsError(
                    f"REDIS_URL: {database} is used twice. Each server needs a database of its own for jobs and one "
                    "for the queue (BROKER_URL; by default the next one)."
                )


def redis_name(url: str) -> str:
    """Return ``HOST:PORT/DATABASE``, or the path of a socket: a URL without user, password and query."""
    server, database = _split_database(url)
    parts = urlsplit(server)
    if parts.scheme == "unix":
        return f"/{parts.path.lstrip('/')}/{database}"
    hosts = parts.netloc.rpartition("@")[2].lower()
    if parts.scheme not in SENTINEL_SCHEMES and parts.port is None:
        hosts = f"{hosts}:6379"
    return "/".join(filter(None, [hosts, parts.path.strip("/"), str(database)]))


def _redis_url(env: Env, name: str, url: str) -> str:
    """Return the URL of a Redis server; with TLS it says how the server's certificate is verified."""
    try:
        parts = urlsplit(url)
        is_valid = _is_redis_database(parts) and (parts.scheme in SENTINEL_SCHEMES or parts.port != 0)
    except ValueError:
        is_valid = False
    if not is_valid:
        # The message does not repeat the URL, which may hold a password.
        raise SettingsError(
            f"{name}: must be redis://USER:PASSWORD@HOST:PORT/NUMBER. Percent-encode special characters of the "
            "password, such as @ as %40 and / as %2F."
        )
    if parts.scheme not in REDIS_SCHEMES:
        schemes = ", ".join(f"{scheme}://" for scheme in REDIS_SCHEMES)
        raise SettingsError(f"{name}: must begin with one of {schemes}.")
    if parts.scheme in SENTINEL_SCHEMES and not parts.path.strip("/"):
        raise SettingsError(
            f"{name}: with Sentinel the path must name the service: {parts.scheme}://HOST:PORT/SERVICE/DB."
        )
    if parts.scheme.startswith("rediss") and "ssl_cert_reqs=" not in parts.query:
        query = "&".join(filter(None, [parts.query, f"ssl_cert_reqs={redis_ssl_cert_reqs(env)}"]))
        return parts._replace(query=query).geturl()
    return url


def api_key(env: Env) -> str | None:
    """Return the owner's key; None if Darkroom generates it."""
    key = env.str("API_KEY", "") or None
    if key is not None and len(key) < MIN_API_KEY_CHARS:
        raise SettingsError(
            f"API_KEY: shorter than {MIN_API_KEY_CHARS} characters; set a random one, or leave it out to have one "
            "generated."
        )
    return key


def contact(env: Env) -> str | None:
    """Return the operator's contact for the user agent; None if it is not set."""
    contact = env.str("CONTACT", "") or None
    if contact is not None and not CONTACT.fullmatch(contact):
        raise SettingsError("CONTACT: must be a mail address or a URL in printable ASCII, without spaces.")
    return contact


def browser_endpoint(env: Env) -> str | None:
    """Return the URL of remote browsers; None if browsers run on this machine."""
    url = env.str("BROWSER_ENDPOINT", "") or None
    if url is not None and not (urlsplit(url).scheme in ENDPOINT_SCHEMES and urlsplit(url).netloc):
        schemes = ", ".join(f"{scheme}://" for scheme in ENDPOINT_SCHEMES)
        raise SettingsError(f"BROWSER_ENDPOINT: must begin with one of {schemes}.")
    return url


def session_key(env: Env) -> str | None:
    """Return the key that encrypts site credentials; None if Darkroom generates it."""
    key = env.str("SESSION_KEY", "") or None
    if key is not None and not SESSION_KEY.fullmatch(key):
        raise SettingsError(
            "SESSION_KEY: must be 32 random bytes in URL-safe base64 (44 characters, the last one '=')."
        )
    return key


def database_url(env: Env, data_dir: Path) -> str:
    """Return the database URL in SQLAlchemy's form; ``postgres://`` (Heroku) is accepted as an alias."""
    url = env.str("DATABASE_URL", f"sqlite:///{data_dir / 'darkroom.sqlite3'}")
    if SQLITE_URL.fullmatch(url):
        return url
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in POSTGRESQL_SCHEMES:
        raise SettingsError("DATABASE_URL: must begin with sqlite:/// or postgresql://.")
    try:
        parts = urlsplit(url)
        is_valid = parts.netloc.count("@") <= 1 and (parts.port is None or parts.port > 0)
    except ValueError:
        is_valid = False
    if not is_valid:
        # The message does not repeat the URL, which holds the password.
        raise SettingsError(
            "DATABASE_URL: must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE. Percent-encode special characters of "
            "the password, such as @ as %40 and / as %2F."
        )
    return f"postgresql+psycopg://{rest}"


def media_url(env: Env, data_dir: Path) -> str:
    """Return the URL of the media store."""
    url = env.str("MEDIA_URL", (data_dir / "media").as_uri())
    if not MEDIA_URL.fullmatch(url):
        raise SettingsError("MEDIA_URL: must be file:///FOLDER, s3://BUCKET, gs://BUCKET or az://ACCOUNT/CONTAINER.")
    return url


def folder(env: Env, name: str) -> Path | None:
    """Return an existing folder; None if the variable is not set."""
    text = env.str(name, "")
    return _existing_folder(name, text) if text else None


def file_in_folder(env: Env, name: str) -> Path | None:
    """Return the path of a file, which need not exist, in a folder that does; None if the variable is not set."""
    text = env.str(name, "")
    if not text:
        return None
    path = Path(text).expanduser().absolute()
    _existing_folder(name, str(path.parent))
    return path


def folders(env: Env, name: str) -> tuple[Path, ...]:
    """Return the folders between the colons, none of them inside another.

    At least one must exist; the others may be on disks that are not mounted at present.
    """
    paths = tuple(_parse_folder(name, text) for text in env.str(name, "").split(os.pathsep) if text)
    if paths and not any(map(Path.exists, paths)):
        raise SettingsError(f"{name}: none of these folders exists: {', '.join(map(repr, map(str, paths)))}.")
    resolved = [path.resolve() for path in paths]
    for inner, outer in itertools.permutations(resolved, 2):
        if inner.is_relative_to(outer):
            raise SettingsError(f"{name}: {str(inner)!r} is inside {str(outer)!r}; name only the outer one.")
    return paths


def url_path(env: Env, name: str, default: str) -> str:
    """Return an absolute URL path without a slash at its end."""
    path = env.str(name, default)
    if not URL_PATH.fullmatch(path):
        raise SettingsError(
            f"{name}: {path!r} is not a path such as {default!r}: it may not end in a slash, and may hold only "
            "letters, digits and ._~-/."
        )
    return path


def _parse_folder(name: str, text: str) -> Path:
    path = Path(text).expanduser().absolute()
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise SettingsError(
            f"{name}: the path {text!r} is not valid UTF-8; rename the folder, or name a link to it."
        ) from error
    return _existing_folder(name, text) if path.exists() else path


def _existing_folder(name: str, text: str) -> Path:
    path = Path(text).expanduser().absolute()
    if not path.is_dir():
        raise SettingsError(f"{name}: {text!r} is not a folder.")
    return path


def _is_redis_database(parts: SplitResult) -> bool:
    """Whether the number of the database is one, or left out."""
    if parts.scheme == "unix":
        return all(number.isdecimal() for number in parse_qs(parts.query).get("db", []))
    *_, number = parts.path.strip("/").split("/") if _has_database(parts) else [""]
    return not number or (number.isascii() and number.isdecimal())


def next_database(redis_url: str) -> str:
    """Return the URL of the same server's next database; of several URLs, that of each.

    The queue needs a database of its own, because Dramatiq's clean-up after dead workers scans all keys.
    """
    return ",".join(_next_database(url) for url in split_redis_urls(redis_url))


def _next_database(redis_url: str) -> str:
    parts = urlsplit(redis_url)
    if parts.scheme == "unix":
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        return f"{redis_url.partition('?')[0]}?{urlencode(query | {'db': int(query.get('db', 0)) + 1})}"
    *service, number = parts.path.strip("/").split("/") if _has_database(parts) else [parts.path.strip("/"), "0"]
    following = str(int(number or 0) + 1)
    return parts._replace(path="/" + "/".join([*filter(None, service), following])).geturl()


def database_on_server(redis_url: str, other_url: str) -> int | None:
    """Return the number of the database of ``other_url`` if the two URLs differ in nothing else; None otherwise."""
    server, _ = _split_database(redis_url)
    other_server, number = _split_database(other_url)
    return number if other_server == server else None


def _split_database(url: str) -> tuple[str, int]:
    """Return the URL without the number of its database, and the number."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    path, number = parts.path, query.pop("db", "")
    if parts.scheme != "unix" and _has_database(parts):
        path, _, in_path = path.strip("/").rpartition("/")
        number = number or in_path
    server = parts._replace(path=path.strip("/"), query=urlencode(sorted(query.items()))).geturl()
    return server, int(number) if number.isdecimal() else 0


def _has_database(parts: SplitResult) -> bool:
    # With Sentinel the path begins with the name of the service.
    return parts.path.strip("/").count("/") == (1 if "sentinel" in parts.scheme else 0)
