"""Inspections of sites by a worker: the check of a page, the draft of a recipe, and answers to what fails."""

import asyncio
import base64
import io
from typing import Any

from PIL import Image

from ops.infra.database import migrate
from ops.infra.settings import Settings
from schemas.messages import CHECK_SITE, LEARN_SITE
from stores import Stores, open_stores
from workers.browsers.launchers import local_browser
from workers.browsers.pool import BrowserPool, BrowserPoolConfig
from workers.jobs.site_inspections import SiteInspector

NOTHING_URL = "http://127.0.0.1:9/"


def inspect(stores: Stores) -> None:
    """Check the bundled page, and learn from an address where nothing listens."""

    async def run() -> None:
        pool = BrowserPool(BrowserPoolConfig.from_settings(stores.settings, local_browser(stores.settings), slots=1))
        await pool.start()
        try:
            inspector = SiteInspector(stores, pool)
            await inspector.check("studio", "")
            await inspector.learn("", NOTHING_URL)
        finally:
            await pool.stop()

    asyncio.run(run())


def answer(stores: Stores, actor: str, site: str, query: str) -> Any:
    """The stored answer."""
    return stores.site_queries.ask(actor, site, query, max_age_s=60, timeout_s=0)[0]


def test_inspections_answer_with_what_they_have_seen(settings: Settings) -> None:
    """A check has the state of every element and a picture; a failure is an answer with its reason."""
    migrate(settings.database_url)
    stores = open_stores(settings)
    try:
        inspect(stores)

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
    finally:
        stores.close()
