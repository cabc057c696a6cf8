"""Recognition of URLs that name databases of one server."""

import pytest

from ops.infra.setting_parsers import database_on_server, next_database


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "redis://host:6379/3",
        "rediss://user:word@host/0?ssl_cert_reqs=none",
        "unix:///tmp/redis.sock?db=0",
        "unix:///tmp/redis.sock",
        "redis+sentinel://a,b:26380/master",
        "redis+sentinel://a/master/4?sentinel_password=x",
    ],
)
def test_the_next_database_is_on_the_same_server(url: str) -> None:
    """Its number is found; the database itself is on its own server too."""
    number = database_on_server(url, url)

    assert number is not None
    assert database_on_server(url, next_database(url)) == number + 1


@pytest.mark.parametrize(
    "other",
    [
        "redis://other/1",
        "redis://host:6380/1",
        "rediss://host/1",
        "redis://user@host/1",
        "redis://host/1?ssl_ca_certs=x",
        "unix:///tmp/redis.sock?db=1",
        "redis+sentinel://host/master/1",
    ],
)
def test_any_other_difference_may_be_another_server(other: str) -> None:
    """Another host, port, user or option."""
    assert database_on_server("redis://host", other) is None
