"""Time limits: jobs on pages that hang end in time, and their slots are free again."""

from collections.abc import Iterator

import pytest

from ops.infra.settings import Settings
from tests.conftest import eventually
from tests.integration.conftest import AppClient, Deployment
from tests.support.hostile_deployment import start_hostile_deployment


@pytest.fixture(scope="module")
def hostile_deployment(base_settings: Settings) -> Iterator[Deployment]:
    """A deployment with one slot and six seconds for an attempt."""
    with start_hostile_deployment(base_settings, job_deadline_s=6, worker_concurrency=1) as deployment:
        yield deployment


def submit(app: AppClient, prompt: str) -> str:
    """Submit a job and return its id."""
    return str(app.post("/api/v1/jobs", json={"prompt": prompt, "inputs": {"seed": 1}}).json["id"])


@pytest.mark.parametrize("prompt", ["hang", "cling", "wander"])
def test_a_hanging_page_frees_its_slot(hostile_deployment: Deployment, prompt: str) -> None:
    """An endless loop in the renderer, a page that resists being closed, and an endless redirect."""
    app = hostile_deployment.app
    hanging, normal = submit(app, prompt), submit(app, "a lighthouse at dusk")

    ended = app.wait_for_end(hanging)
    assert ended["status"] == "FAILED"
    # The redirects end at the browser's error page, which shows no picture.
    assert ended["error"]["code"] in ("deadline_exceeded", "site_changed", "browser_lost", "no_picture")
    assert app.wait_for_end(normal)["status"] == "COMPLETED"
    eventually(lambda: app.stores.workers.list_alive()[0].contexts == 0)
    assert not app.stores.redis.zcard("dr:leases")
