"""``./darkroom up --site URL``, run as a user does, with a Gradio app that has no recipe."""

import io
from pathlib import Path

from PIL import Image

from tests.acceptance.conftest import await_end, darkroom_up, submit
from tests.integration.sites.conftest import programs  # noqa: F401 - a fixture
from tests.support.programs.rendering import is_image_of


def test_a_gradio_app_is_the_default_site(folder: Path, programs: str) -> None:  # noqa: F811 - the fixture
    """Its layout becomes a recipe, with which a job makes the app's own picture."""
    with darkroom_up(folder, "--site", f"{programs}/renamed") as up, up.client() as client:
        assert "Wrote its recipe" in up.output
        job = await_end(client, submit(client, "a red barn", luckyNumber=3))

        assert job["status"] == "COMPLETED", job
        picture = client.get(f"/{job['id']}.png")
        assert is_image_of(Image.open(io.BytesIO(picture.content)), "a red barn|3")
        site = client.get(f"/api/v1/sites/{job['site']}").json()
        assert site["inputs"]["luckyNumber"]["default"] == 7
