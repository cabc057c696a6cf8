"""A deployment whose only site is the hostile test site, for tests of what its pages do to jobs."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ops.infra.settings import Settings
from ops.testbed import hostile_site
from tests.integration.conftest import Deployment, start_deployment


@contextmanager
def start_hostile_deployment(base: Settings, result: str = "#current", **changes: Any) -> Iterator[Deployment]:
    """Run a deployment with the hostile site; ``result`` is the recipe's selector of the finished image."""
    with (
        hostile_site.running_site(hostile_site.SiteBehavior()) as address,
        tempfile.TemporaryDirectory(prefix="dr-") as name,
    ):
        folder = Path(name)
        (folder / "recipes").mkdir()
        (folder / "recipes" / "hostile.toml").write_text(hostile_site.recipe(address, result))
        with start_deployment(base, folder, recipes_dir=folder / "recipes", site="hostile", **changes) as deployment:
            yield deployment
