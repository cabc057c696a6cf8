"""Inspections of sites by a worker: the check of a page, the draft of a recipe, and answers to what fails."""

import asyncio
import base64
import io
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ops.infra.settings import Settings
from ops.testbed.flooding_site import run_flooding_site, write_recipes
from schemas.messages import CHECK_SITE, LEARN_SITE
from stores import Stores, open_stores
from tests.conftest import create_tables
from workers.browsers.launchers import local_browser
from workers.browsers.pool import BrowserPool, BrowserPoolConfig
from workers.jobs.site_inspections import SiteInspector

NOTHING_URL = "http://127.0.0.1:9/"
INTERVAL_S = 3600


@pytest.fixture
def stores(settings: Settings, tmp_path: Path) -> Iterator[Stores]:
    """Stores with the flooding site among their recipes; its calm page has a minimum interval."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    create_tables(settings.database_url)
    with run_flooding_site() as url:
        write_recipes(folder, url)
        calm = folder / "calm.toml"
        calm.write_text(calm.read_text().replace("min_interval_s = 0", f"min_interval_s = {INTERVAL_S}"))
        sockets = folder / "sockets.toml"
        sockets.write_text(sockets.read_text().replace("?kind=", "?begin=load&kind="))
        stores = open_stores(replace(settings, recipes_dir=folder))
        yield stores
        stores.close()


def inspect(stores: Stores, work: Callable[[SiteInspector], Awaitable[None]]) -> None:
    """Work with an inspector that has a browser."""

    async def run() -> None:
        pool = BrowserPool(BrowserPoolConfig.from_settings(stores.settings, local_browser(stores.settings), slots=1))
        await pool.start()
        try:
            await work(SiteInspector(stores, pool))
        finally:
            await pool.stop()

    asyncio.run(run())


def answer(stores: Stores, actor: str, site: str, query: str) -> Any:
    """The stored answer."""
    return stores.site_queries.ask(actor, site, query, max_age_s=60, timeout_s=0)[0]


def test_inspections_answer_with_their_findings(stores: Stores) -> None:
    """A check has the state of every element and a picture; a failure is an answer with its reason."""

    async def work(inspector: SiteInspector) -> None:
        await inspector.check("studio", "")
        await inspector.learn("", NOTHING_URL)

    inspect(stores, work)
    check = answer(stores, CHECK_SITE, "studio", "")
    states = {result["name"]: result["state"] for result in check["results"]}
    assert states
    assert "bad" not in states.values()
    assert "good" in states.values()
    assert check["with_login"] is False
    picture = base64.b64decode(check["screenshot"].removeprefix("data:image/jpeg;base64,"))
    with Image.open(io.BytesIO(picture)) as image:
        assert image.format == "JPEG"
    assert answer(stores, LEARN_SITE, "", NOTHING_URL)["error"]


def test_inspections_visit_a_site_under_the_rules_of_its_jobs(stores: Stores) -> None:
    """Circuit breaker, minimum interval, and the end of pages that flood; also where a page is learned from."""
    url = stores.recipes.get("calm").url
    stores.redis.hset("dr:site:studio", mapping={"retryAt": stores.clock.now_ms() + 60_000, "error": "It is gone."})

    async def work(inspector: SiteInspector) -> None:
        await inspector.check("studio", "")
        await inspector.check("sockets", "")
        await inspector.check("calm", "first")
        await inspector.check("calm", "second")
        await inspector.learn("", url)

    inspect(stores, work)
    assert answer(stores, CHECK_SITE, "studio", "")["error"] == "studio cannot be visited now: It is gone."
    assert "screenshot" in answer(stores, CHECK_SITE, "calm", "first")
    assert INTERVAL_S - 60 < stores.circuit_breakers.remaining_pause_ms("calm") / 1000 <= INTERVAL_S
    refused = [answer(stores, CHECK_SITE, "calm", "second"), answer(stores, LEARN_SITE, "", url)]
    assert all("calm cannot be visited now: its next visit may begin in" in each["error"] for each in refused)
    assert "messages a second" in answer(stores, CHECK_SITE, "sockets", "")["error"]
