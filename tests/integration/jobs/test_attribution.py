"""Attribution: each job gets its own image, on a site that does everything to mix them up."""

import random

from ops.infra.settings import Settings
from ops.testbed import marked_images
from tests.conftest import eventually
from tests.integration.conftest import AppClient
from tests.support.hostile_deployment import start_hostile_deployment

# Most prompts are equal or nearly equal.
COMMON_PROMPT = "a lighthouse at dusk"
PROMPTS = (COMMON_PROMPT, COMMON_PROMPT, "a lighthouse  at dusk", "a lighthouse at dusk, oil painting")
CONTEXTS = 8
SELECTOR_BY_PROMPT = 'img[alt*="a lighthouse at dusk"]'


def submit_jobs(app: AppClient, jobs: int) -> dict[str, int]:
    """Submit jobs; return the number that each job's image must contain."""
    rng = random.Random(7)
    numbers = {}
    for nonce in rng.sample(range(2**32), jobs):
        body = {"prompt": rng.choice(PROMPTS), "inputs": {"seed": nonce}}
        numbers[str(app.post("/api/v1/jobs", json=body).json["id"])] = nonce
    return numbers


def read_number(data: bytes) -> int | None:
    """The number in an image."""
    fields = marked_images.read(data)
    return fields[0] if fields else None


def test_two_hundred_jobs_get_their_own_images(base_settings: Settings) -> None:
    """The original, the JPEG and every preview that is seen contain the job's number."""
    with start_hostile_deployment(base_settings, worker_concurrency=CONTEXTS) as deployment:
        app = deployment.app
        numbers = submit_jobs(app, 200)
        wrong: list[str] = []

        def all_ended() -> bool:
            for job_id in app.stores.maintenance.list_running():
                preview = app.stores.results.get_preview(job_id)
                if preview and read_number(preview) != numbers[job_id]:
                    wrong.append(f"preview of {job_id}")
            return not app.stores.redis.zcard("dr:open")

        eventually(all_ended, timeout_s=240)

        for job_id, nonce in numbers.items():
            assert app.get_job(job_id)["status"] == "COMPLETED", app.get_job(job_id)
            original, jpeg = (app.client.get(f"/{job_id}{suffix}").data for suffix in ("", ".jpg"))
            assert (read_number(original), read_number(jpeg)) == (nonce, nonce)
        assert not wrong


def test_a_recipe_with_a_wrong_selector_is_detected(base_settings: Settings) -> None:
    """A recipe that selects the image by its prompt gets images of other jobs, and the check above notices."""
    with start_hostile_deployment(base_settings, SELECTOR_BY_PROMPT, worker_concurrency=CONTEXTS) as deployment:
        app = deployment.app
        numbers = submit_jobs(app, 40)
        eventually(lambda: not app.stores.redis.zcard("dr:open"), timeout_s=120)

        images = {job_id: read_number(app.client.get(f"/{job_id}").data) for job_id in numbers}
        assert any(images[job_id] not in (None, nonce) for job_id, nonce in numbers.items())
