"""Looks at a site's page for what clients ask: no more willingly than for a job."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ops.infra.database import migrate
from ops.infra.settings import Settings
from schemas.messages import READ_QUOTA
from stores import Stores, open_stores
from tests.support.fake_site import serve_fake_site
from workers.browsers.launchers import local_browser
from workers.browsers.pool import BrowserPool, BrowserPoolConfig
from workers.jobs.site_queries import SiteQueryRunner

RECIPE = """
title = "Busy"
description = "A page with a quota."
url = "{url}"
consent = {{ ownership = "own" }}
limits = {{ concurrency = 1, min_interval_s = {interval} }}
steps = [{{ type = "navigate", url = "{{{{url}}}}" }}, {{ type = "click", selectors = ["#paint"], submits = true }}]
observe.done.selectors = ["#result"]
quota = {{ used = ["#busy", "body"], limit = ["#progress", "body"] }}
"""


@pytest.fixture
def address() -> Iterator[str]:
    """A running fake site."""
    with serve_fake_site() as address:
        yield address


def stores_for(settings: Settings, folder: Path, url: str, interval_s: float = 0) -> Stores:
    """Stores whose site ``busy`` is at ``url``."""
    (folder / "busy.toml").write_text(RECIPE.format(url=url, interval=interval_s))
    migrate(settings.database_url)
    return open_stores(replace(settings, recipes_dir=folder, site="busy"))


def query_quota(stores: Stores) -> object:
    """What a look at the site's quota brings home; None if it was not looked at."""

    async def run() -> None:
        pool = BrowserPool(BrowserPoolConfig.from_settings(stores.settings, local_browser(stores.settings), slots=1))
        await pool.start()
        try:
            await SiteQueryRunner(stores, pool).read_quota("busy", "")
        finally:
            await pool.stop()

    asyncio.run(run())
    return stores.site_queries.ask(READ_QUOTA, "busy", "", max_age_s=60, timeout_s=0)[0]


def test_a_site_that_is_left_alone_is_not_looked_at(settings: Settings, tmp_path: Path, address: str) -> None:
    """Neither while it wants that, nor while its circuit is open."""
    stores = stores_for(settings, tmp_path, address)
    try:
        stores.circuit_breakers.pause("busy", stores.clock.now_ms() + 60_000)
        assert query_quota(stores) is None
        stores.circuit_breakers.pause("busy", 0)
        stores.redis.hset("dr:site:busy", mapping={"nextAt": 0, "retryAt": stores.clock.now_ms() + 60_000})
        assert query_quota(stores) is None
        stores.circuit_breakers.close("busy")
        assert query_quota(stores)
    finally:
        stores.close()


def test_looks_keep_the_sites_interval(settings: Settings, tmp_path: Path, address: str) -> None:
    """The next visit, be it a job's, comes no sooner than the recipe says."""
    stores = stores_for(settings, tmp_path, address, interval_s=3600)
    try:
        before = time.time()
        assert query_quota(stores)
        assert stores.circuit_breakers.get_paused_until("busy") >= (before + 3600) * 1000
    finally:
        stores.close()


def test_a_429_is_remembered_for_all_workers(settings: Settings, tmp_path: Path, address: str) -> None:
    """As it is when it comes to a job."""
    stores = stores_for(settings, tmp_path, f"{address}/busy")
    try:
        assert urlsplit(stores.recipes.default.url).path == "/busy"
        assert query_quota(stores) is None
        assert stores.circuit_breakers.get_paused_until("busy") > stores.clock.now_ms()
    finally:
        stores.close()
