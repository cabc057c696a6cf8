"""A Darkroom on the hostile site, for tests of what its pages do to a job."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ops.infra.settings import Settings
from ops.testbed import hostile_site
from tests.integration.conftest import Deployment, start_deployment


@contextmanager
def darkroom_on_hostile_site(base: Settings, result: str = "#current", **changes: Any) -> Iterator[Deployment]:
    """A Darkroom whose only site is the hostile one; ``result`` is its recipe's selector of the picture."""
    with (
        hostile_site.running_site(hostile_site.SiteBehavior()) as address,
        tempfile.TemporaryDirectory(prefix="dr-") as name,
    ):
        folder = Path(name)
        (folder / "recipes").mkdir()
        (folder / "recipes" / "hostile.toml").write_text(hostile_site.recipe(address, result))
        with start_deployment(base, folder, recipes_dir=folder / "recipes", site="hostile", **changes) as darkroom:
            yield darkroom
