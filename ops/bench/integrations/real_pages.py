"""The real pages of programs that the benchmark ``sites`` drives: each version on a server of the tests.

A version is a site of its own: a copy of the shipped recipe under a name with the version, such as ``comfyui-1-27-10``.
AUTOMATIC1111, Forge and Fooocus are stand-ins on the real versions of Gradio that they use.
"""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from ops.infra.settings import ROOT, SHIPPED_RECIPES
from ops.processes.stopping.parent_death import set_parent_death_signal
from ops.processes.web_command import free_port
from ops.testbed.stack import wait_until

# Making the folders of the packages for the first time is included.
START_TIMEOUT_S = 300.0
COMFYUI = "tests.support.programs.comfyui"
INVOKEAI = "tests.support.programs.invokeai"
GRADIO = "tests.support.programs.gradio_server"


@dataclass(frozen=True, slots=True)
class Server:
    """A process that serves pages: a module with the argument ``VERSION=PORT``."""

    module: str
    version: str


@dataclass(frozen=True, slots=True)
class RealPage:
    """A version of a program's page, which a server has at ``path``."""

    recipe: str
    server: Server
    path: str = ""
    site_suffix: str = ""

    @property
    def site(self) -> str:
        """The name of its recipe."""
        return f"{self.recipe}-{self.site_suffix or self.server.version.replace('.', '-')}"


GRADIO_SERVERS = {version: Server(GRADIO, version) for version in ("3.41.2", "4.40.0", "5.50.0", "6.31.0")}
NEWEST_COMFYUI = RealPage("comfyui", Server(COMFYUI, "1.58.1"))
NEWEST_GRADIO = RealPage("gradio", GRADIO_SERVERS["6.31.0"], "streamed/")
REAL_PAGES = (
    *(RealPage("comfyui", Server(COMFYUI, version)) for version in ("1.16.9", "1.27.10")),
    NEWEST_COMFYUI,
    RealPage("invokeai", Server(INVOKEAI, "6.14.2")),
    RealPage("gradio", GRADIO_SERVERS["3.41.2"], "streamed/"),
    RealPage("automatic1111", GRADIO_SERVERS["3.41.2"], "automatic1111/", "1-10-1"),
    RealPage("fooocus", GRADIO_SERVERS["3.41.2"], "fooocus/", "2-5-5"),
    RealPage("gradio", GRADIO_SERVERS["4.40.0"], "streamed/"),
    RealPage("automatic1111", GRADIO_SERVERS["4.40.0"], "forge/", "forge"),
    RealPage("gradio", GRADIO_SERVERS["5.50.0"], "streamed/"),
    NEWEST_GRADIO,
)


class RealPages:
    """Some of the pages, with their recipes in a folder; their servers run only while they are measured."""

    def __init__(self, pages: Sequence[RealPage], recipes_folder: Path) -> None:
        self._pages = pages
        self._ports = {server: free_port() for server in dict.fromkeys(page.server for page in pages)}
        self.urls = {page.site: f"http://127.0.0.1:{self._ports[page.server]}/{page.path}" for page in pages}
        for page in pages:
            _write_recipe(page, self.urls[page.site], recipes_folder)

    def serve_each(self) -> Iterator[str]:
        """Yield the sites, each while its page is served."""
        for server, port in self._ports.items():
            sites = [page.site for page in self._pages if page.server == server]
            with _run(server, port, [self.urls[site] for site in sites]):
                yield from sites


@contextmanager
def _run(server: Server, port: int, urls: Sequence[str]) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", server.module, f"{server.version}={port}"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        preexec_fn=set_parent_death_signal(signal.SIGKILL),  # noqa: PLW1509 - this process has one thread
    )
    try:
        wait_until(lambda: process.poll() is not None or all(map(_answers, urls)), START_TIMEOUT_S)
        if process.poll() is not None:
            raise RuntimeError(f"{server.module} {server.version} has ended with code {process.returncode}")
        yield
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
