"""The real pages of programs that the benchmark ``sites`` drives: each version on a server of the tests.

A version is a site of its own: a copy of the shipped recipe under a name with the version, such as ``comfyui-1-27-10``.
AUTOMATIC1111, Forge and Fooocus are stand-ins on the real versions of Gradio that they use.
"""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from ops.infra.settings import ROOT, SHIPPED_RECIPES
from ops.processes.parent_death import set_parent_death_signal
from ops.processes.web_command import free_port
from ops.testbed.stack import wait_until

# Making the folders of the packages for the first time is included.
START_TIMEOUT_S = 300.0
GRADIO = "tests.support.programs.gradio_server"


@dataclass(frozen=True, slots=True)
class RealPage:
    """A version of a program's page; ``module`` serves it at ``path``, with ``VERSION=PORT`` as its argument."""

    recipe: str
    version: str
    module: str
    path: str = ""
    site_suffix: str = ""

    @property
    def site(self) -> str:
        """The name of its recipe."""
        return f"{self.recipe}-{self.site_suffix or self.version.replace('.', '-')}"

    @property
    def server(self) -> tuple[str, str]:
        """The module and the argument of the process that serves it, which may serve others too."""
        return self.module, self.version


REAL_PAGES = (
    *(RealPage("comfyui", version, "tests.support.programs.comfyui") for version in ("1.16.9", "1.27.10", "1.58.1")),
    RealPage("invokeai", "6.14.2", "tests.support.programs.invokeai"),
    *(RealPage("gradio", version, GRADIO, "streamed/") for version in ("3.41.2", "4.40.0", "5.50.0", "6.31.0")),
    RealPage("automatic1111", "3.41.2", GRADIO, "automatic1111/", "1-10-1"),
    RealPage("automatic1111", "4.40.0", GRADIO, "forge/", "forge"),
    RealPage("fooocus", "3.41.2", GRADIO, "fooocus/", "2-5-5"),
)


@contextmanager
def serve_real_pages(recipes_folder: Path) -> Iterator[dict[str, str]]:
    """Serve all of them and write their recipes; yields the URLs by the name of the site."""
    with ExitStack() as stack:
        # All are started before the first is waited for: importing a program takes seconds.
        ports = {
            server: stack.enter_context(_serve(*server)) for server in dict.fromkeys(page.server for page in REAL_PAGES)
        }
        urls = {page.site: f"http://127.0.0.1:{ports[page.server]}/{page.path}" for page in REAL_PAGES}
        for page in REAL_PAGES:
            url = urls[page.site]
            wait_until(partial(_answers, url), START_TIMEOUT_S)
            _write_recipe(page, url, recipes_folder)
        yield urls


@contextmanager
def _serve(module: str, version: str) -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", module, f"{version}={port}"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        preexec_fn=set_parent_death_signal(signal.SIGKILL),  # noqa: PLW1509 - this process has one thread
    )
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _write_recipe(page: RealPage, url: str, folder: Path) -> None:
    shipped = (SHIPPED_RECIPES / f"{page.recipe}.toml").read_text()
    # The first URL is the site's; those of steps and messages are templates.
    (folder / f"{page.site}.toml").write_text(re.sub(r'(?m)^url = ".*"$', f'url = "{url}"', shipped, count=1))
    for document in SHIPPED_RECIPES.glob(f"{page.recipe}.*.json"):
        shutil.copy(document, folder)
