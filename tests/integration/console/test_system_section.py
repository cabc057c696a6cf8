"""The System section: health, plots, settings without secrets, and what others may see of it."""

import json

from playwright.async_api import Page, expect

from schemas.accounts.caller import Scope
from stores.accounts.api_keys import KeyChange
from stores.jobs.metrics_history import SAMPLE_INTERVAL_S
from stores.queue.worker_heartbeats import WorkerStatus
from stores.redis.keys import METRICS_HISTORY
from tests.conftest import API_KEY
from tests.integration.conftest import AppClient
from tests.support.console_browser import HOSTILE, require_accessible, visit

HTML = {"Accept": "text/html"}


def record_history(app: AppClient) -> None:
    """Store two samples, five minutes apart."""
    app.stores.metrics_history.record(app.stores.metrics.read())
    [(slot, sample)] = app.stores.redis.hgetall(METRICS_HISTORY).items()
    figures = json.loads(sample)
    earlier = json.dumps(figures | {"at": figures["at"] - 300_000}, separators=(",", ":"))
    app.stores.redis.hset(METRICS_HISTORY, str(int(slot) - 300 // SAMPLE_INTERVAL_S), earlier)


def test_the_state_of_the_system_is_shown_as_it_changes(app: AppClient, app_url: str) -> None:
    """A worker that appears is shown; its words are text; the plots have values."""
    record_history(app)

    async def work(page: Page) -> None:
        await page.goto(f"{app_url}/console/system?hours=1")
        await expect(page.get_by_text("No worker is running, so jobs wait.")).to_be_visible()
        await expect(page.locator("polyline.line-1").first).to_be_attached()
        status = WorkerStatus(
            f"host:{HOSTILE}",
            ready=True,
            browser=HOSTILE,
            browser_restarts=1,
            contexts=2,
            slots=4,
            jobs=1,
            memory_bytes=1,
        )
        app.stores.workers.record_heartbeat(status)
        await expect(page.locator(".worker-list")).to_contain_text("1 of 4")
        await expect(page.locator(".worker-list")).to_contain_text("<script>")
        await require_accessible(page)

    visit(app_url, work)


def test_only_admins_see_settings_and_never_secrets(app: AppClient) -> None:
    """The owner sees each setting with its source; other callers see the health only."""
    key = app.stores.api_keys.create("reader", KeyChange(scopes=frozenset({Scope.READ})))

    owners = app.get("/console/system", headers=HTML).text
    others = app.client.get("/console/system", headers={**HTML, "x-api-key": key}).text

    assert "MAX_QUEUE_SIZE" in owners
    assert API_KEY not in owners
    assert ("MAX_QUEUE_SIZE" in others, "Free disk" in others, "Redis" in others) == (False, False, True)


def test_the_section_teaches_while_there_is_nothing_to_show(app: AppClient) -> None:
    """Without samples the plots say so; an unknown time span is the usual one."""
    answer = app.get("/console/system?hours=999&part=live", headers=HTML)

    assert answer.status_code == 200
    assert "Nothing has been measured yet." in answer.text
