"""Reading the settings from the environment."""

from pathlib import Path

import pytest

from ops.infra.setting_parsers import MIN_QUEUE_SIZE_OF_SERVER
from ops.infra.settings import UNLIMITED, SettingsError, load_settings, next_database
from schemas.jobs.sdapi.requests import MAX_JOBS_PER_REQUEST


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "0"),
        ("PORT", "70000"),
        ("PUBLIC_URL", "ftp://example.org"),
        ("PUBLIC_URL", "nowhere"),
        ("WORKER_CONCURRENCY", "0"),
        ("MAX_QUEUE_SIZE", "-1"),
        ("RESULT_TTL_S", "ten"),
        ("JOB_DEADLINE_S", "1.5"),
        ("API_KEY", "short"),
        ("RECIPES_DIR", "/does/not/exist"),
        ("MODELS_DIR", "/does/not/exist:/nor/this"),
        ("MODELS_DIR", "/usr:/etc/passwd"),
        ("MODELS_DIR", "/usr:/tmp/\udcff"),
        ("MODELS_DIR", "/usr/bin:/usr"),
        ("DOWNLOADS_BY", "pigeon"),
        ("X_ACCEL_PREFIX", "models"),
        ("X_ACCEL_PREFIX", "/models/"),
        ("X_ACCEL_PREFIX", "/models\r\nX-Evil: 1"),
        ("LIMIT_DAILY_IMAGES", "many"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("LIVENESS_FILE", "/does/not/exist/alive"),
        ("SITE_STUDIO_URL", "nowhere"),
        ("MEDIA_URL", "ftp://example.org/media"),
        ("MEDIA_URL", "file:media"),
        ("MEDIA_URL", "file://media/folder"),
        ("MEDIA_URL", "s3://"),
        ("REDIS_URL", "http://127.0.0.1:6379"),
        ("REDIS_URL", "redis+sentinel://127.0.0.1:26379"),
        ("REDIS_URL", "redis://127.0.0.1/first"),
        ("REDIS_URL", "redis://[::1/0"),
        ("REDIS_URL", "unix:///run/redis.sock?db=first"),
        ("REDIS_URL", "redis://:secret@a/0,redis://other:secret@A:6379/0"),
        ("REDIS_URL", "redis://a/0 redis://a/1"),
        ("REDIS_URL", "unix:///run/redis.sock?db=0,redis://a/0"),
        ("REDIS_URL", ",".join(f"redis://host-{number}/0" for number in range(17))),
        ("REDIS_URL", "redis://a/0,http://b/0"),
        ("BROKER_URL", "redis://:secret@a/1,redis://:secret@b/1"),
        ("BROKER_URL", "redis://:secret/word@127.0.0.1/1"),
        ("PUBLIC_URL", "http://[::1"),
        ("DATABASE_URL", "nonsense"),
        ("DATABASE_URL", "mysql://127.0.0.1/darkroom"),
        ("DATABASE_URL", "postgres://me:secret@word@db/darkroom"),
        ("DATABASE_URL", "postgres://me:secret/word@db/darkroom"),
        ("DATABASE_URL", "postgres://db:port/darkroom"),
        ("DATABASE_URL", "sqlite://"),
        ("STOP_TIMEOUT_S", "soon"),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The SettingsError names the variable."""
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=name) as caught:
        load_settings()

    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_several_redis_servers_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a queue of its own; commas within Sentinel's URLs separate nothing, and names have no password."""
    monkeypatch.setenv("REDIS_URL", "redis://:p,w@a/0, rediss://me:pw@B:6380/2\nredis+sentinel://:pw@s1,s2:1/main/3")
    servers = load_settings().redis_servers

    assert [server.name for server in servers] == ["a:6379/0", "b:6380/2", "s1,s2:1/main/3"]
    assert [server.broker_url.partition("?")[0][-2:] for server in servers] == ["/1", "/3", "/4"]
    monkeypatch.setenv("BROKER_URL", "redis://q/0,redis://q/1,redis://q/2")
    assert [server.broker_url for server in load_settings().redis_servers] == [
        "redis://q/0",
        "redis://q/1",
        "redis://q/2",
    ]


def test_a_model_folder_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk may be unmounted at the start; at least one folder must exist."""
    monkeypatch.setenv("MODELS_DIR", "/does/not/exist:/usr")
    assert load_settings().models_dir == (Path("/does/not/exist"), Path("/usr"))


def test_secrets_are_not_in_the_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    """Printed settings contain no key and no password."""
    monkeypatch.setenv("API_KEY", "k" * 32)
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2hunter2@127.0.0.1/0")
    monkeypatch.setenv("DATABASE_URL", "postgres://me:hunter2hunter2@127.0.0.1/darkroom")

    text = repr(load_settings())

    assert "kkkk" not in text
    assert "hunter2" not in text


def test_aliases_of_platforms_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heroku's postgres:// scheme and the original's API_URL work."""
    monkeypatch.setenv("DATABASE_URL", "postgres://me@db/darkroom")
    monkeypatch.setenv("API_URL", "https://pictures.example.org/")
    monkeypatch.setenv("LIMIT_QUEUED_IMAGES", "unlimited")

    settings = load_settings()

    assert settings.database_url == "postgresql+psycopg://me@db/darkroom"
    assert settings.public_url == "https://pictures.example.org"
    assert settings.limit_queued_images == UNLIMITED


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8080"),  # noqa: S104 - what a platform sets
        ("::", "http://[::1]:8080"),
        ("fd00::5", "http://[fd00::5]:8080"),
    ],
)
def test_the_default_public_url_is_reachable(monkeypatch: pytest.MonkeyPatch, host: str, url: str) -> None:
    """A server that listens on all interfaces gets a loopback URL by default."""
    monkeypatch.setenv("HOST", host)
    monkeypatch.setenv("PORT", "8080")

    assert load_settings().public_url == url


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("redis://localhost:6379", "redis://localhost:6379/1"),
        ("redis://localhost:6379/0", "redis://localhost:6379/1"),
        ("rediss://:pw@host/4?ssl_cert_reqs=none", "rediss://:pw@host/5?ssl_cert_reqs=none"),
        ("unix:///run/redis.sock?db=0", "unix:///run/redis.sock?db=1"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock?db=1"),
        ("unix://:pw@/run/redis.sock?db=3", "unix://:pw@/run/redis.sock?db=4"),
        ("redis+sentinel://a,b:3/pictures", "redis+sentinel://a,b:3/pictures/1"),
        ("redis+sentinel://:pw@a/pictures/2", "redis+sentinel://:pw@a/pictures/3"),
    ],
)
def test_the_queue_uses_the_next_database(first: str, second: str) -> None:
    """The queue uses another database of the same server."""
    assert second == next_database(first)


def test_the_data_folder_is_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes with different working directories use the same folder."""
    monkeypatch.setenv("DATA_DIR", "somewhere")

    assert Path.cwd() / "somewhere" == load_settings().data_dir


def test_site_urls_are_read_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """SITE_<NAME>_URL sets the URL of the site with the lower-case name."""
    monkeypatch.setenv("SITE_MY_FORGE_URL", "http://127.0.0.1:7860/sd")

    assert load_settings().site_urls == {"my_forge": "http://127.0.0.1:7860/sd"}


def test_each_redis_server_has_room_for_the_largest_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is divided among the servers; with one server it may be as small as one."""
    assert MIN_QUEUE_SIZE_OF_SERVER >= 2 * MAX_JOBS_PER_REQUEST
    monkeypatch.setenv("MAX_QUEUE_SIZE", "1")
    assert load_settings().max_queue_size == 1
    monkeypatch.setenv("REDIS_URL", "redis://a/0,redis://b/0")
    for size in (1, 63):
        monkeypatch.setenv("MAX_QUEUE_SIZE", str(size))
        with pytest.raises(SettingsError, match="MAX_QUEUE_SIZE: 2 Redis servers share it; set it to 64 or more"):
            load_settings()
    monkeypatch.setenv("MAX_QUEUE_SIZE", "64")
    assert len(load_settings().redis_servers) == 2
