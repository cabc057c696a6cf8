"""The recipe for ComfyUI on real frontends, with a server that answers the program's API."""

import asyncio
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.async_api import Browser

from ops.infra.settings import SHIPPED_RECIPES
from ops.processes.web_command import free_port
from schemas.errors import SiteFailed, SiteRefused, SiteUnavailable
from schemas.images.input_images import InputFile
from schemas.sites.recipe import DocumentSpec, InputSpec, Recipe, Step
from tests.integration.sites.conftest import run_attempt, shipped_recipe
from tests.integration.sites.programs.attempts import (
    attempt,
    cancel,
    collect,
    run_attempts,
    submit,
    until,
    watch_until_progress,
)
from tests.integration.sites.programs.conftest import COMFYUI_FRONTENDS, ProgramServer, run_server
from tests.support.programs.comfyui.installation import signature_of
from tests.support.programs.comfyui.nodes import CHECKPOINTS

PROMPT = "a lighthouse at dusk"
NEWEST = COMFYUI_FRONTENDS[-1]
GetServer = Callable[..., ProgramServer]
every_frontend = pytest.mark.parametrize("frontend", COMFYUI_FRONTENDS)


def described(
    prompt: str,
    negative: str = "",
    *,
    seed: int,
    steps: int = 20,
    sampler: str = "euler",
    model: str = CHECKPOINTS[0],
) -> str:
    """Return the text that the server paints for the shipped workflow."""
    return f"{prompt}|{negative}|{seed}|{steps}|{sampler}|{model}"


def with_workflow(recipe: Recipe, change: Callable[[dict[str, Any]], None]) -> Recipe:
    """Return the recipe with a changed copy of the shipped workflow."""
    content = json.loads((SHIPPED_RECIPES / "comfyui.workflow.json").read_text())
    change(content)
    return replace(recipe, documents={"workflow": DocumentSpec(content, recipe.documents["workflow"].fields)})


def save_twice(workflow: dict[str, Any]) -> None:
    """Let a second node save a picture with another seed."""
    workflow["10"] = json.loads(json.dumps(workflow["3"])) | {"_meta": {"title": "Second sampler"}}
    workflow["10"]["inputs"]["seed"] = 77
    workflow["11"] = json.loads(json.dumps(workflow["8"])) | {"_meta": {"title": "Second decode"}}
    workflow["11"]["inputs"]["samples"] = ["10", 0]
    workflow["12"] = json.loads(json.dumps(workflow["9"])) | {"_meta": {"title": "Second result"}}
    workflow["12"]["inputs"] |= {"images": ["11", 0], "filename_prefix": "second"}


@every_frontend
def test_a_cancelled_job_is_stopped_and_the_next_one_starts_at_once(comfyui: GetServer, frontend: str) -> None:
    """On the first visit. The server's own log shows it; the next job is complete, with the pictures of two nodes."""
    server = comfyui(frontend)
    recipe = shipped_recipe("comfyui", server.url)
    inputs = {"negative_prompt": "fog", "steps": 9, "width": 320, "height": 256, "batch_size": 2}
    choices = {"sampler": "dpmpp_2m", "checkpoint": CHECKPOINTS[1]}

    async def work(browser: Browser) -> Any:
        driver = await submit(browser, recipe, "an endless road", seed=1)
        note = await cancel(driver, lambda: "started" in server.events())
        return note, await attempt(browser, with_workflow(recipe, save_twice), PROMPT, seed=5, **inputs, **choices)

    note, result = run_attempts(work)

    assert note == "The site's program was stopped."
    assert server.events() == ["queued", "started", "interrupt", "interrupted", "queued", "started", "success"]
    assert len(result.images) == 4
    first = described(PROMPT, "fog", seed=5, steps=9, sampler="dpmpp_2m", model=CHECKPOINTS[1])
    second = described(PROMPT, "fog", seed=77, model=CHECKPOINTS[1])
    assert replace(result, images=result.images[:2]).shows_images_of(first, 0, 1)
    assert replace(result, images=result.images[2:]).shows_images_of(second, 0, 1)
    assert {(image.width, image.height, image.lossy) for image in result.images} == {(320, 256, False)}
    assert [(update.step, update.steps) for update in result.progress][-1] == (6, 6)
    assert len(set(result.previews)) >= 2


@every_frontend
def test_a_refused_workflow_says_which_value_is_wrong(comfyui: GetServer, frontend: str) -> None:
    """The message is shown on the page only; nothing is queued."""
    server = comfyui(frontend)

    with pytest.raises(SiteRefused, match="sampler_name") as refused:
        run_attempt(shipped_recipe("comfyui", server.url), PROMPT, sampler="nothing")

    assert "nothing" in refused.value.message
    assert not any(caption in refused.value.message for caption in ("Show Report", "Find Issues", "View details"))
    assert server.events() == ["refused"]


def test_errors_have_the_words_of_the_program(comfyui: GetServer) -> None:
    """An exception of a node is a refusal; memory that is exhausted is a failure, which is tried again."""
    recipe = shipped_recipe("comfyui", comfyui().url)

    async def work(browser: Browser) -> None:
        with pytest.raises(SiteRefused, match=r"^The sampler has refused\.$"):
            await attempt(browser, recipe, "forbidden")
        with pytest.raises(SiteFailed, match="out of memory"):
            await attempt(browser, recipe, "much memory")

    run_attempts(work)


def test_a_waiting_job_is_removed_and_others_go_on(comfyui: GetServer) -> None:
    """The job of another page is not interrupted; it is deleted from the queue by its id."""
    server = comfyui()
    recipe = shipped_recipe("comfyui", server.url)
    others = json.loads((SHIPPED_RECIPES / "comfyui.workflow.json").read_text())
    others["6"]["inputs"]["text"] = "endless, of another page"
    server.post("api/prompt", prompt=others, client_id="another")

    async def work(browser: Browser) -> str:
        driver = await submit(browser, recipe, PROMPT, seed=1)
        return await cancel(driver, lambda: server.events().count("queued") == 2)

    assert run_attempts(work) == "The site's program was stopped."
    assert server.events() == ["queued", "started", "queued", "deleted"]


def test_cached_nodes_give_the_picture_again(comfyui: GetServer) -> None:
    """A workflow of which the server has all results samples nothing; a preview node alone gives its picture."""
    server = comfyui()
    recipe = shipped_recipe("comfyui", server.url)

    def only_preview(workflow: dict[str, Any]) -> None:
        workflow["9"] = {"class_type": "PreviewImage", "_meta": {"title": "Result"}, "inputs": {"images": ["8", 0]}}

    async def work(browser: Browser) -> list[Any]:
        recipes = (recipe, recipe, with_workflow(recipe, only_preview))
        return [await attempt(browser, one, PROMPT, seed=7) for one in recipes]

    first, second, preview = run_attempts(work)

    assert second.progress == []
    assert [image.data for image in first.images] == [image.data for image in second.images]
    assert preview.shows_images_of(described(PROMPT, seed=7), 0)
    assert len(preview.images) == 1


def test_a_job_that_a_person_interrupts_fails_at_once(comfyui: GetServer) -> None:
    """It can be tried again; it does not wait for its deadline."""
    server = comfyui()

    async def work(browser: Browser) -> None:
        driver = await submit(browser, shipped_recipe("comfyui", server.url), "an endless road")
        await watch_until_progress(driver)
        await asyncio.to_thread(server.post, "api/interrupt")
        async for _update in driver.watch():
            pass

    with pytest.raises(SiteFailed, match="stopped"):
        run_attempts(work)


def test_pictures_of_messages_that_the_page_has_missed(comfyui: GetServer) -> None:
    """The socket closes in mid-job and comes back after its end: the history has the picture."""
    server = comfyui()

    async def work(browser: Browser) -> Any:
        driver = await submit(browser, shipped_recipe("comfyui", server.url), "the socket dies", seed=3)
        watching = asyncio.ensure_future(collect(driver))
        await until(lambda: "success" in server.events())
        await asyncio.to_thread(server.post, "test/accept_sockets")
        return await watching

    assert run_attempts(work).shows_images_of(described("the socket dies", seed=3), 0)
    assert server.events() == ["queued", "started", "success"]


def test_a_restart_of_the_server_is_survived(tmp_path: Path, short_reconnection: None) -> None:
    """The job ends as unavailable, which is tried again, and the next attempt has its picture."""
    port = free_port()
    module, names = "tests.support.programs.comfyui", (NEWEST,)

    async def work(browser: Browser) -> Any:
        with run_server(module, tmp_path / "log", names, (port,)) as urls:
            recipe = shipped_recipe("comfyui", urls[NEWEST])
            driver = await submit(browser, recipe, "an endless road")
            await watch_until_progress(driver)
        with pytest.raises(SiteUnavailable):
            await collect(driver)
        await driver.page.context.close()
        with run_server(module, tmp_path / "log", names, (port,)):
            return await attempt(browser, recipe, PROMPT, seed=2)

    assert run_attempts(work).shows_images_of(described(PROMPT, seed=2), 0)


def test_a_page_that_starts_slowly_gets_the_right_workflow(comfyui: GetServer) -> None:
    """On old frontends the button is there long before the page can take a workflow, and queues the former one."""
    server = comfyui(COMFYUI_FRONTENDS[0])
    server.post("test/start_delay", seconds=4)

    result = run_attempt(shipped_recipe("comfyui", server.url), PROMPT, seed=4)

    assert result.shows_images_of(described(PROMPT, seed=4), 0)
    assert server.events() == ["queued", "started", "success"]


def test_a_picture_goes_to_load_image(comfyui: GetServer) -> None:
    """It is uploaded by the program's route, and its name there is put into the workflow."""
    server = comfyui()
    recipe = shipped_recipe("comfyui", server.url)
    out = io.BytesIO()
    Image.new("RGB", (320, 256), (200, 30, 90)).save(out, "PNG")

    def image_to_image(workflow: dict[str, Any]) -> None:
        workflow["13"] = {"class_type": "LoadImage", "_meta": {"title": "Load"}, "inputs": {"image": "example.png"}}
        encode = {"pixels": ["13", 0], "vae": ["4", 2]}
        workflow["5"] = {"class_type": "VAEEncode", "_meta": {"title": "Encode"}, "inputs": encode}
        workflow["3"]["inputs"]["denoise"] = 0.6

    recipe = with_workflow(recipe, image_to_image)
    fields = {path: value for path, value in recipe.documents["workflow"].fields.items() if "Size" not in path}
    document = replace(recipe.documents["workflow"], fields={**fields, "Load.inputs.image": "{{init}}"})
    upload = Step("customStep", name="upload", image="init", when="init", url="{{url}}/upload/image")
    recipe = replace(
        recipe,
        documents={"workflow": document},
        inputs={**recipe.inputs, "init": InputSpec("image")},
        steps=(*recipe.steps[:2], upload, *recipe.steps[2:]),
    )
    file = InputFile("darkroom-init.png", "image/png", out.getvalue())

    result = run_attempts(lambda browser: attempt(browser, recipe, PROMPT, {"init": file}, seed=6))

    with Image.open(io.BytesIO(out.getvalue())) as image:
        assert result.shows_images_of(f"{described(PROMPT, seed=6)}|{signature_of(image)}", 0)
    assert server.events() == ["uploaded", "queued", "started", "success"]


def test_a_random_seed_is_chosen_unless_one_is_given() -> None:
    """The same prompt gives different images, and the job shows the seed."""
    recipe = shipped_recipe("comfyui", "http://127.0.0.1:8188/")

    assert recipe.validate_inputs({})["seed"] != recipe.validate_inputs({})["seed"]
    assert recipe.validate_inputs({"seed": 4})["seed"] == 4
