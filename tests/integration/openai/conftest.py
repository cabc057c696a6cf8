"""A deployment with the studio and a page that takes pictures, behind a real web server."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ops.infra.settings import Settings
from tests.integration.conftest import AppClient, serve_app, start_deployment
from tests.support.image_pages import image_page_recipe, serve_image_page
from tests.support.recipe_files import write_recipe


@dataclass(frozen=True)
class Server:
    """The address of the deployment, and the app behind it."""

    url: str
    app: AppClient

    @property
    def api_url(self) -> str:
        """The address that the packages get."""
        return f"{self.url}/v1"

    def own_url(self, url: str) -> str:
        """Return a URL of an answer at the address where this server is."""
        return url.replace(self.app.stores.settings.public_url, self.url)


@pytest.fixture(scope="module")
def server(base_settings: Settings) -> Iterator[Server]:
    """One deployment for all packages, with the sites ``studio``, ``pictures`` and ``pair``."""
    uploads = [{"image": "init", "selectors": ["#init"]}, {"image": "mask", "selectors": ["#mask"]}]
    with tempfile.TemporaryDirectory(prefix="dr-") as name, serve_image_page() as page:
        recipes = Path(name) / "recipes"
        write_recipe(recipes / "pictures.toml", image_page_recipe(page, *uploads))
        pair = image_page_recipe(page, uploads[0], {"image": "second", "selectors": ["#mask"]})
        write_recipe(recipes / "pair.toml", pair | {"inputs": {"init": {"type": "image"}, "second": {"type": "image"}}})
        with (
            start_deployment(base_settings, Path(name), recipes_dir=recipes) as deployment,
            serve_app(deployment.app.client.application) as url,
        ):
            yield Server(url, deployment.app)
