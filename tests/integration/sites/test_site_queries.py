"""Site queries respect the same limits as jobs: circuit breaker, minimum interval, requested pauses."""

import asyncio
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from ops.infra.settings import Settings
from schemas.messages import READ_QUOTA
from stores import Stores, open_stores
from tests.conftest import create_tables
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


def stores_for(settings: Settings, folder: Path, url: str, interval_s: float = 0) -> Stores:
    """Open stores with one site, ``busy``, at ``url``."""
    (folder / "busy.toml").write_text(RECIPE.format(url=url, interval=interval_s))
    create_tables(settings.database_url)
    return open_stores(replace(settings, recipes_dir=folder, site="busy"))


def query_quota(stores: Stores) -> object:
    """Run a quota query; returns the stored answer, or None if the site was not visited."""

    async def run() -> None:
        pool = BrowserPool(BrowserPoolConfig.from_settings(stores.settings, local_browser(stores.settings), slots=1))
        await pool.start()
        try:
            await SiteQueryRunner(stores, pool).read_quota("busy", "")
        finally:
            await pool.stop()

    asyncio.run(run())
    return stores.site_queries.ask(READ_QUOTA, "busy", "", max_age_s=60, timeout_s=0)[0]


def test_a_paused_site_is_not_visited(settings: Settings, tmp_path: Path, fake_site: str) -> None:
    """It is not visited while it is paused or its circuit breaker is open."""
    stores = stores_for(settings, tmp_path, fake_site)
    try:
        stores.circuit_breakers.pause("busy", 60_000)
        assert query_quota(stores) is None
        stores.circuit_breakers.pause("busy", 0)
        stores.redis.hset("dr:site:busy", mapping={"nextAt": 0, "retryAt": stores.clock.now_ms() + 60_000})
        assert query_quota(stores) is None
        stores.circuit_breakers.close("busy")
        assert query_quota(stores)
    finally:
        stores.close()


def test_a_query_reserves_the_sites_interval(settings: Settings, tmp_path: Path, fake_site: str) -> None:
    """The next visit, by a query or a job, waits for the minimum interval."""
    stores = stores_for(settings, tmp_path, fake_site, interval_s=3600)
    try:
        assert query_quota(stores)
        assert 3_500_000 < stores.circuit_breakers.remaining_pause_ms("busy") <= 3_600_000
    finally:
        stores.close()


def test_a_429_pauses_the_site_for_all_workers(settings: Settings, tmp_path: Path, fake_site: str) -> None:
    """It has the same effect as a 429 during a job."""
    stores = stores_for(settings, tmp_path, f"{fake_site}/busy")
    try:
        assert urlsplit(stores.recipes.default.url).path == "/busy"
        assert query_quota(stores) is None
        assert stores.circuit_breakers.remaining_pause_ms("busy") > 0
    finally:
        stores.close()
