"""The recipe for ComfyUI on real frontends, with a server that answers the program's API."""

from collections.abc import Callable

import pytest

from schemas.errors import SiteRefused
from tests.integration.sites.conftest import run_attempt, shipped_recipe
from tests.integration.sites.programs.conftest import COMFYUI_FRONTENDS, ProgramServer
from tests.support.programs.comfyui.nodes import CHECKPOINTS

PROMPT = "a lighthouse at dusk"
GetServer = Callable[..., ProgramServer]
every_frontend = pytest.mark.parametrize("frontend", COMFYUI_FRONTENDS)


@every_frontend
def test_a_job_on_the_first_visit(comfyui: GetServer, frontend: str) -> None:
    """Inputs and choices reach the nodes; progress and the exact pictures come back."""
    server = comfyui(frontend)

    result = run_attempt(
        shipped_recipe("comfyui", server.url),
        PROMPT,
        negative_prompt="fog",
        seed=5,
        steps=9,
        width=320,
        height=256,
        batch_size=2,
        sampler="dpmpp_2m",
        checkpoint=CHECKPOINTS[1],
    )

    assert result.shows_images_of(f"{PROMPT}|fog|5|9|dpmpp_2m|{CHECKPOINTS[1]}", 0, 1)
    assert {(image.width, image.height) for image in result.images} == {(320, 256)}
    assert not any(image.lossy for image in result.images)
    assert [(update.step, update.steps) for update in result.progress][-1] == (6, 6)
    assert server.events() == ["queued", "started", "success"]


@every_frontend
def test_an_execution_error_has_the_words_of_the_program(comfyui: GetServer, frontend: str) -> None:
    """The exception's message, without captions of the page."""
    server = comfyui(frontend)

    with pytest.raises(SiteRefused, match=r"^The sampler has refused\.$"):
        run_attempt(shipped_recipe("comfyui", server.url), "forbidden")


@every_frontend
def test_a_refused_workflow_says_which_value_is_wrong(comfyui: GetServer, frontend: str) -> None:
    """The message is shown on the page only; nothing is queued."""
    server = comfyui(frontend)

    with pytest.raises(SiteRefused, match="nothing") as error:
        run_attempt(shipped_recipe("comfyui", server.url), PROMPT, sampler="nothing")

    assert "sampler_name" in str(error.value)
    assert not any(caption in str(error.value) for caption in ("Show Report", "Find Issues", "View details"))
    assert server.events() == ["refused"]


def test_a_random_seed_is_chosen_unless_one_is_given() -> None:
    """The same prompt gives different images, and the job shows the seed."""
    recipe = shipped_recipe("comfyui", "http://127.0.0.1:8188/")

    assert recipe.validate_inputs({})["seed"] != recipe.validate_inputs({})["seed"]
    assert recipe.validate_inputs({"seed": 4})["seed"] == 4
