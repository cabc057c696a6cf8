"""Each job gets its own picture, on a site that does everything to mix them up."""

import random

import pytest

from ops.infra.settings import Settings
from ops.testbed import marked_images
from tests.conftest import eventually
from tests.integration.conftest import AppClient
from tests.support.hostile_deployment import start_hostile_deployment

# Many are the same, and the others nearly so.
SAME = "a lighthouse at dusk"
PROMPTS = (SAME, SAME, "a lighthouse  at dusk", "a lighthouse at dusk, oil painting")
CONTEXTS = 8
BY_WORDS = 'img[alt*="a lighthouse at dusk"]'


def submitted(app: AppClient, jobs: int) -> dict[str, int]:
    """The number that each job's picture must carry."""
    dice = random.Random(7)
    numbers = {}
    for nonce in dice.sample(range(2**32), jobs):
        body = {"prompt": dice.choice(PROMPTS), "inputs": {"seed": nonce}}
        numbers[str(app.post("/api/v1/jobs", json=body).json["id"])] = nonce
    return numbers


def carried(data: bytes) -> int | None:
    """The number in a picture."""
    found = marked_images.read(data)
    return found[0] if found else None


@pytest.mark.timeout(300)
def test_two_hundred_jobs_get_their_own_pictures(base_settings: Settings) -> None:
    """The original, the JPEG and every preview seen on the way carry the job's own number."""
    with start_hostile_deployment(base_settings, worker_concurrency=CONTEXTS) as darkroom:
        front = darkroom.app
        numbers = submitted(front, 200)
        wrong: list[str] = []

        def all_ended() -> bool:
            for ident in front.stores.maintenance.list_running():
                preview = front.stores.results.get_preview(ident)
                if preview and carried(preview) != numbers[ident]:
                    wrong.append(f"preview of {ident}")
            return not front.stores.redis.zcard("dr:open")

        eventually(all_ended, timeout_s=240)

        for ident, nonce in numbers.items():
            assert front.get_job(ident)["status"] == "COMPLETED", front.get_job(ident)
            original, jpeg = (front.client.get(f"/{ident}{suffix}").data for suffix in ("", ".jpg"))
            assert (carried(original), carried(jpeg)) == (nonce, nonce)
        assert not wrong


def test_the_proof_bites(base_settings: Settings) -> None:
    """A recipe that picks the picture by the words of its prompt gets other people's: the same check must see it."""
    with start_hostile_deployment(base_settings, BY_WORDS, worker_concurrency=CONTEXTS) as darkroom:
        front = darkroom.app
        numbers = submitted(front, 40)
        eventually(lambda: not front.stores.redis.zcard("dr:open"), timeout_s=120)

        got = {ident: carried(front.client.get(f"/{ident}").data) for ident in numbers}
        assert any(got[ident] not in (None, nonce) for ident, nonce in numbers.items())
