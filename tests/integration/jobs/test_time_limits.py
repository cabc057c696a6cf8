"""Pages that hang, cling or wander: each job ends in time, and its slot is free again."""

from collections.abc import Iterator

import pytest

from ops.infra.settings import Settings
from tests.conftest import eventually
from tests.integration.conftest import AppClient, Deployment
from tests.support.hostile_deployment import start_hostile_deployment


@pytest.fixture(scope="module")
def impatient(base_settings: Settings) -> Iterator[Deployment]:
    """A Darkroom that gives an attempt six seconds, on one slot."""
    with start_hostile_deployment(base_settings, job_deadline_s=6, worker_concurrency=1) as darkroom:
        yield darkroom


def submit(app: AppClient, prompt: str) -> str:
    """The id of a new job."""
    return str(app.post("/api/v1/jobs", json={"prompt": prompt, "inputs": {"seed": 1}}).json["id"])


@pytest.mark.parametrize("word", ["hang", "cling", "wander"])
def test_a_page_at_its_worst_holds_no_slot(impatient: Deployment, word: str) -> None:
    """A renderer in an endless loop, a page that does not want to be left, an endless redirect."""
    front = impatient.app
    bad, good = submit(front, word), submit(front, "a lighthouse at dusk")

    ended = front.wait_for_end(bad)
    assert ended["status"] == "FAILED"
    assert ended["error"]["code"] in ("deadline_exceeded", "site_changed", "browser_lost")
    assert ended["finishedAt"] - ended["startTime"] < 30_000
    assert front.wait_for_end(good)["status"] == "COMPLETED"
    eventually(lambda: front.stores.workers.list_alive()[0].contexts == 0)
    assert not front.stores.redis.zcard("dr:leases")
