"""The recipe for InvokeAI on its real page, with a server that answers the program's API and socket."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser

from ops.processes.web_command import free_port
from schemas.errors import ChoiceNotFound, SiteFailed, SiteRefused, SiteUnavailable
from schemas.jobs.job import JobRequest
from tests.integration.sites.conftest import AttemptResult, drive, shipped_recipe
from tests.integration.sites.programs.attempts import (
    attempt,
    cancel,
    collect,
    run_attempts,
    submit,
    until,
    watch_until_progress,
)
from tests.integration.sites.programs.conftest import ProgramServer, run_server
from tests.support.programs.invokeai.routes import MODELS, VERSION
from workers.sites.learn.detection import detect_program

PROMPT = "a lighthouse at dusk"
MODULE = "tests.support.programs.invokeai"
DEFAULT_SCHEDULER = "dpmpp_3m_k"


def described(prompt: str, negative: str, seed: int, *, steps: int = 30, cfg: float = 7.5, scheduler: str = "") -> str:
    """Return the text that the server paints."""
    return f"{prompt}|{negative}|{seed}|{steps}|{cfg:g}|{scheduler or DEFAULT_SCHEDULER}|{MODELS[0]}"


@pytest.fixture(scope="module")
def invokeai_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run InvokeAI; yields its URL."""
    with run_server(MODULE, tmp_path_factory.mktemp("invokeai") / "log", (VERSION,)) as urls:
        yield urls[VERSION]


@pytest.fixture
def server(invokeai_url: str) -> ProgramServer:
    """InvokeAI as new: no jobs and no pictures, and the page was never visited."""
    server = ProgramServer(invokeai_url)
    server.post("test/reset")
    return server


def batch_of_another_page(prompt: str) -> dict[str, Any]:
    """Return a batch that another page would queue."""
    nodes = {
        "positive_prompt:1": {"id": "positive_prompt:1", "type": "string", "value": prompt},
        "seed:1": {"id": "seed:1", "type": "integer", "value": 1},
        "loader:1": {"id": "loader:1", "type": "main_model_loader", "model": {"name": MODELS[1]}},
        "denoise:1": {"id": "denoise:1", "type": "denoise_latents", "steps": 1, "cfg_scale": 1, "scheduler": "euler"},
        "canvas_output:1": {"id": "canvas_output:1", "type": "l2i", "is_intermediate": False},
    }
    edge = {
        "source": {"node_id": "denoise:1", "field": "l"},
        "destination": {"node_id": "canvas_output:1", "field": "l"},
    }
    return {"graph": {"id": "another", "nodes": nodes, "edges": [edge]}, "runs": 1}


def test_the_program_is_recognized(server: ProgramServer) -> None:
    """By the version that it publishes."""
    program = detect_program(server.url)

    assert (program.label, program.recipe) == (f"InvokeAI {VERSION}", "invokeai")


def test_a_job_on_the_first_visit_and_one_after_it(server: ProgramServer) -> None:
    """Inputs, a choice and two pictures. What the page remembers of the first job is not used for the second."""
    recipe = shipped_recipe("invokeai", server.url)
    inputs = {
        "seed": 5,
        "steps": 9,
        "cfg_scale": 5.5,
        "width": 320,
        "height": 256,
        "scheduler": "Euler",
        "image_number": 2,
    }

    async def work(browser: Browser) -> list[Any]:
        context = await browser.new_context(viewport={"width": 1280, "height": 900})
        request = JobRequest(recipe.name, PROMPT, None, recipe.validate_inputs({"negative_prompt": "fog", **inputs}))
        first = await drive(context, recipe, request)
        # The page saves its fields some time after they have changed.
        await until(lambda: "fog" in server.get("api/v1/client_state/default/get_by_key?key=params").text)
        await context.close()
        return [first, await attempt(browser, recipe, "a boat", seed=9, image_number=1)]

    first, second = run_attempts(work)

    texts = [described(PROMPT, "fog", seed, steps=9, cfg=5.5, scheduler="euler") for seed in (5, 6)]
    assert [line["text"] for line in server.log if line["event"] == "queued"][:2] == texts
    assert [
        type(first)(images=[image]).shows_images_of(text, 0) for image, text in zip(first.images, texts, strict=True)
    ] == [
        True,
        True,
    ]
    assert {(image.width, image.height, image.lossy) for image in first.images} == {(320, 256, False)}
    assert len(set(first.previews)) >= 2
    percentages = [update.percentage for update in first.progress]
    assert percentages[0] < 50 < percentages[-1] == 100
    assert second.shows_images_of(described("a boat", "", 9, steps=9, cfg=5.5, scheduler="euler"), 0)


def test_errors_have_the_words_of_the_program(server: ProgramServer) -> None:
    """An exception of a node, memory that is exhausted, and a scheduler that does not exist."""
    recipe = shipped_recipe("invokeai", server.url)

    async def work(browser: Browser) -> None:
        with pytest.raises(SiteRefused, match=r"^The sampler has refused\.$"):
            await attempt(browser, recipe, "forbidden")
        with pytest.raises(SiteFailed, match="out of memory"):
            await attempt(browser, recipe, "much memory")
        with pytest.raises(ChoiceNotFound, match="DDIM"):
            await attempt(browser, recipe, PROMPT, scheduler="Eular")

    run_attempts(work)


def test_a_cancelled_job_is_stopped_and_the_next_one_starts_at_once(server: ProgramServer) -> None:
    """The server's own log shows it, for a job that runs and for one that waits behind another page's."""
    recipe = shipped_recipe("invokeai", server.url)

    async def work(browser: Browser) -> Any:
        driver = await submit(browser, recipe, "an endless road", seed=1)
        await cancel(driver, lambda: "started" in server.events())
        result = await attempt(browser, recipe, PROMPT, seed=2)
        await asyncio.to_thread(
            server.post, "api/v1/queue/default/enqueue_batch", batch=batch_of_another_page("endless")
        )
        driver = await submit(browser, recipe, "a waiting road", seed=3)
        await cancel(driver, lambda: server.events().count("queued") == 4)
        return result

    assert run_attempts(work).shows_images_of(described(PROMPT, "", 2), 0)
    events = [(line["event"], line["item_id"]) for line in server.log]
    assert events[:4] == [("queued", 1), ("started", 1), ("cancel", 1), ("stopped", 1)]
    assert events[4:7] == [("queued", 2), ("started", 2), ("completed", 2)]
    assert events[7:] == [("queued", 3), ("started", 3), ("queued", 4), ("cancel", 4)]


def test_a_page_without_websockets_is_watched_through_its_polls(server: ProgramServer) -> None:
    """Behind a proxy that refuses WebSockets, and for the first moments of every visit."""
    server.post("test/refuse_websockets")
    recipe = shipped_recipe("invokeai", server.url)

    async def work(browser: Browser) -> list[AttemptResult]:
        first = await attempt(browser, recipe, PROMPT, seed=6)
        with pytest.raises(SiteRefused, match=r"^The sampler has refused\.$"):
            await attempt(browser, recipe, "forbidden")
        return [first, await attempt(browser, recipe, "a boat", seed=7)]

    first, second = run_attempts(work)

    assert first.shows_images_of(described(PROMPT, "", 6), 0)
    assert len(set(first.previews)) >= 2
    percentages = [update.percentage for update in first.progress]
    assert percentages[0] < 50 < percentages[-1] == 100
    assert second.shows_images_of(described("a boat", "", 7), 0)


def test_pictures_and_errors_of_other_pages_are_not_taken(server: ProgramServer) -> None:
    """The server tells every page about every job; others fail and have their pictures while this one waits."""
    recipe = shipped_recipe("invokeai", server.url)

    async def work(browser: Browser) -> Any:
        for prompt in ("endless", "forbidden", "a cat"):
            batch = batch_of_another_page(prompt)
            await asyncio.to_thread(server.post, "api/v1/queue/default/enqueue_batch", batch=batch)
        watching = asyncio.ensure_future(collect(await submit(browser, recipe, PROMPT, seed=4)))
        await until(lambda: server.events().count("queued") == 4)
        await asyncio.to_thread(httpx.put, f"{server.url}api/v1/queue/default/i/1/cancel", trust_env=False)
        return await watching

    result = run_attempts(work)

    assert result.shows_images_of(described(PROMPT, "", 4), 0)
    assert [line["item_id"] for line in server.log if line["event"] == "completed"] == [3, 4]


def test_a_job_that_a_person_cancels_fails_at_once(server: ProgramServer) -> None:
    """It can be tried again; it does not wait for its deadline."""

    async def work(browser: Browser) -> None:
        driver = await submit(browser, shipped_recipe("invokeai", server.url), "an endless road")
        await watch_until_progress(driver)
        await asyncio.to_thread(httpx.put, f"{server.url}api/v1/queue/default/i/1/cancel", trust_env=False)
        await collect(driver)

    with pytest.raises(SiteFailed, match="cancelled in the program"):
        run_attempts(work)


def test_a_restart_of_the_server_is_survived(tmp_path: Path, short_reconnection: None) -> None:
    """The job ends as unavailable, which is tried again, and the next attempt has its picture."""
    port = free_port()

    async def work(browser: Browser) -> Any:
        with run_server(MODULE, tmp_path / "log", (VERSION,), (port,)) as urls:
            recipe = shipped_recipe("invokeai", urls[VERSION])
            driver = await submit(browser, recipe, "an endless road")
            await watch_until_progress(driver)
        with pytest.raises(SiteUnavailable):
            await collect(driver)
        await driver.page.context.close()
        with run_server(MODULE, tmp_path / "log", (VERSION,), (port,)):
            return await attempt(browser, recipe, PROMPT, seed=2)

    assert run_attempts(work).shows_images_of(described(PROMPT, "", 2), 0)
