"""A bench's Darkroom on the hostile site, whose pictures take as long as the bench wants. Used by two benches."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.testbed import hostile_site
from ops.testbed.stack import Stack, run_stack

SITE = "hostile"


@contextmanager
def run_hostile_stack(*roles: str, duration_s: tuple[float, float], contexts: int) -> Iterator[Stack]:
    """A Darkroom of ``roles`` whose site takes between so and so many seconds for a picture."""
    with (
        hostile_site.running_site(hostile_site.SiteBehavior(*duration_s)) as address,
        tempfile.TemporaryDirectory(prefix="dr-bench-") as name,
    ):
        (Path(name) / f"{SITE}.toml").write_text(hostile_site.recipe(address))
        with run_stack(*roles, SITE=SITE, RECIPES_DIR=name, WORKER_CONCURRENCY=str(contexts)) as darkroom:
            yield darkroom
