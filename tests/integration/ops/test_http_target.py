"""Which Darkroom the commands talk to, and who gets the owner's key."""

import os
from dataclasses import replace
from pathlib import Path

import click
import pytest

from ops.cli.http_target import Target, find_target
from ops.infra.settings import Settings
from ops.processes.instance_file import Instance, write_instance
from tests.conftest import API_KEY

OWN_URL = "http://127.0.0.1:3000"
OTHER_URLS = [
    "https://darkroom.example.org",
    "http://127.0.0.1:3001",
    "https://127.0.0.1:3000",
    "http://127.0.0.1:3000@darkroom.example.org:3000",
    "http://127.0.0.1:3000.example.org",
    "not a url",
]


@pytest.fixture
def own(base_settings: Settings, tmp_path: Path) -> Settings:
    """Settings of a data folder on which a Darkroom runs."""
    write_instance(tmp_path, Instance(os.getpid(), OWN_URL, "redis://127.0.0.1"))
    return replace(base_settings, data_dir=tmp_path, api_key=API_KEY)


@pytest.mark.parametrize("url", [None, "", OWN_URL, f"{OWN_URL}/", "http://localhost:3000"])
def test_the_darkroom_of_the_data_folder_gets_the_owners_key(own: Settings, url: str | None) -> None:
    """Without a URL, or with its own; another key takes precedence."""
    assert find_target(own, url, None) == Target(OWN_URL, API_KEY)
    given = find_target(own, url, "another")
    assert given
    assert given.key == "another"


@pytest.mark.parametrize("url", OTHER_URLS)
def test_no_other_server_gets_the_owners_key(own: Settings, tmp_path: Path, url: str) -> None:
    """A URL of another server needs a key, whichever data folders there are."""
    for folders in ((), (tmp_path / "none", own.data_dir)):
        with pytest.raises(click.UsageError, match="--key or DARKROOM_KEY"):
            find_target(own, url, None, folders=folders)
    assert find_target(own, url, "another") == Target(url, "another")


def test_the_first_data_folder_with_a_darkroom_counts(own: Settings, tmp_path: Path) -> None:
    """The owner's key is that of its folder; without a Darkroom there is no target."""
    assert find_target(own, OWN_URL, None, folders=(tmp_path / "none", own.data_dir)) == Target(OWN_URL, API_KEY)
    assert find_target(own, None, None, folders=(tmp_path / "none",)) is None
