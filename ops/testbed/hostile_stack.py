"""A temporary Darkroom whose default site is the hostile site, with a chosen generation time."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.testbed import hostile_site
from ops.testbed.stack import Stack, run_stack

SITE = "hostile"


@contextmanager
def run_hostile_stack(*roles: str, duration_s: tuple[float, float], contexts: int) -> Iterator[Stack]:
    """Yield a Darkroom of ``roles``; the site needs between the two durations for an image."""
    with (
        hostile_site.running_site(hostile_site.SiteBehavior(*duration_s)) as url,
        tempfile.TemporaryDirectory(prefix="dr-bench-") as folder,
    ):
        (Path(folder) / f"{SITE}.toml").write_text(hostile_site.recipe(url))
        with run_stack(*roles, SITE=SITE, RECIPES_DIR=folder, WORKER_CONCURRENCY=str(contexts)) as darkroom:
            yield darkroom
