"""Detection of the program at a URL, and the choice of the site for ``up --site``."""

import json
import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from ops.cli.groups import StartError
from ops.cli.processes.site_selection import select_site
from ops.infra.settings import SHIPPED_RECIPES, SettingsError, load_settings
from stores.sites.recipes import Recipes
from tests.support.programs.plain_pages import serve_plain_pages
from workers.sites.learn import detection
from workers.sites.learn.detection import SiteNotRecognizedError, detect_program, is_local_host, page_url

# What the programs publish about themselves: status and body by path.
Answers = dict[str, tuple[int, Any]]
COMFYUI: Answers = {"/system_stats": (200, {"system": {"os": "posix", "comfyui_version": "0.3.64"}, "devices": []})}
INVOKEAI: Answers = {"/api/v1/app/version": (200, {"version": "6.14.2"})}


def gradio(title: str, *element_ids: str) -> Answers:
    """Return what a Gradio app with these element ids answers."""
    components = [
        {"id": number, "type": "textbox", "props": {"elem_id": one}} for number, one in enumerate(element_ids)
    ]
    config = {"version": "3.41.2\n", "title": title, "components": components, "dependencies": [], "layout": {}}
    return {"/config": (200, config)}


A1111_IDS = ("txt2img_prompt", "txt2img_generate", "txt2img_gallery")


@contextmanager
def serve(answers: Answers, front: int = 200) -> Iterator[str]:
    """Serve JSON answers; ``front`` is the status of every other path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Send the answer of the path."""
            status, body = answers.get(self.path, (front if self.path == "/" else 404, "<!doctype html>"))
            self.send_response(status)
            if status in (301, 302):
                self.send_header("Location", body)
            self.end_headers()
            self.wfile.write(body.encode() if isinstance(body, str) else json.dumps(body).encode())

        def log_message(self, *_: Any) -> None:
            """Suppress request logs."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the variables that the choice sets within one test."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    for name in ("SITE", "SITE_URL", "RECIPES_DIR"):
        os.environ.pop(name, None)
    os.environ["DATA_DIR"] = str(tmp_path / "data")


@pytest.mark.parametrize(
    ("answers", "label", "recipe"),
    [
        (COMFYUI, "ComfyUI 0.3.64", "comfyui"),
        (INVOKEAI, "InvokeAI 6.14.2", "invokeai"),
        (gradio("Stable Diffusion", *A1111_IDS, "setting_sd_model_checkpoint"), "AUTOMATIC1111 (Gradio 3.41.2)",
         "automatic1111"),
        (gradio("Stable Diffusion", *A1111_IDS), "Forge (Gradio 3.41.2)", "automatic1111"),
        (gradio("Fooocus 2.5.5", "positive_prompt", "generate_button", "final_gallery"),
         "Fooocus 2.5.5 (Gradio 3.41.2)", "fooocus"),
        (gradio("Mine"), "Gradio 3.41.2", None),
        ({}, "a page that is not made with a known program", None),
        ({"/config": (200, {"components": 1})}, "a page that is not made with a known program", None),
        ({"/system_stats": (200, [1])}, "a page that is not made with a known program", None),
    ],
)  # fmt: skip
def test_programs_are_recognized_by_their_published_documents(answers: Answers, label: str, recipe: str | None) -> None:
    """Each with its version and the recipe for it."""
    with serve(answers) as url:
        program = detect_program(url)

    assert (program.label, program.recipe) == (label, recipe)
    assert recipe is None or (SHIPPED_RECIPES / f"{recipe}.toml").exists()
    assert program.url == f"{url}/"


@pytest.mark.parametrize(("path", "recipe"), [("gradio", None), ("automatic1111", "automatic1111")])
def test_real_gradio_apps_are_recognized(programs: str, path: str, recipe: str | None) -> None:
    """Below a path too."""
    program = detect_program(f"{programs}/{path}")

    assert program.recipe == recipe
    assert program.config


def test_a_gradio_app_with_a_login_says_so(programs: str) -> None:
    """Its layout is published after the login only."""
    with pytest.raises(SiteNotRecognizedError, match="is a Gradio app with a login"):
        detect_program(f"{programs}/locked/")


def test_redirects_lead_to_the_page() -> None:
    """The page's own URL counts."""
    with serve(COMFYUI) as url, serve({"/": (302, f"{url}/")}) as entrance:
        assert detect_program(entrance).url == f"{url}/"


@pytest.mark.parametrize(("front", "reason"), [(401, "requires a login"), (503, "answers with status 503")])
def test_a_page_that_does_not_show_itself_is_no_guess(front: int, reason: str) -> None:
    """The message says what came instead."""
    with serve({}, front) as url, pytest.raises(SiteNotRecognizedError, match=reason):
        detect_program(url)


def test_a_description_without_end_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body above the limit counts as no description."""
    monkeypatch.setattr(detection, "MAX_DESCRIPTION_BYTES", 1000)
    with serve({"/config": (200, {"components": ["x" * 2000], "dependencies": []})}) as url:
        assert detect_program(url).config is None


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("http://a:1", "http://a:1/"),
        ("http://a:1/app", "http://a:1/app/"),
        ("http://a:1/app/?x=1#part", "http://a:1/app/?x=1"),
        ("http://a:1/index.html", "http://a:1/index.html"),
    ],
)
def test_page_urls_end_in_a_slash(url: str, page: str) -> None:
    """A file stays a file."""
    assert page_url(url) == page


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("192.168.1.4", True),
        ("::1", True),
        ("nas", True),
        ("box.lan", True),
        ("8.8.8.8", False),
        ("example.com", False),
    ],
)
def test_local_hosts(host: str, is_local: bool) -> None:
    """The name or the address decides, without a lookup."""
    assert is_local_host(host) is is_local


def test_a_known_program_becomes_the_default_site() -> None:
    """It gets the included recipe and its own address."""
    with serve(COMFYUI) as url:
        settings = select_site(load_settings(), url)

    assert Recipes.from_settings(settings).default.name == "comfyui"
    assert Recipes.from_settings(settings).default.url == f"{url}/"


def test_a_gradio_app_gets_a_recipe_that_is_used_again(programs: str, tmp_path: Path) -> None:
    """The second start reads the file without a request, so the app does not have to run yet."""
    url = f"{programs}/renamed"
    settings = select_site(load_settings(), url)
    (path,) = (tmp_path / "data" / "recipes").glob("*.toml")
    recipe = Recipes.from_settings(settings).default
    assert (recipe.name, recipe.url) == (path.stem, f"{url}/")
    assert recipe.tested is None

    stopped = "http://127.0.0.1:9/"
    path.write_text(path.read_text().replace(f"{url}/", stopped))
    del os.environ["SITE"], os.environ["RECIPES_DIR"]
    os.environ["SITE_URL"] = stopped
    assert Recipes.from_settings(select_site(load_settings(), None)).default.url == stopped
    assert tomllib.loads(path.read_text())["url"] == stopped


def test_without_a_url_nothing_changes() -> None:
    """``up`` without ``--site`` and SITE_URL."""
    settings = load_settings()

    assert select_site(settings, None) is settings


def test_the_option_comes_before_the_variables() -> None:
    """SITE and SITE_URL are replaced by what ``--site`` names."""
    os.environ |= {"SITE": "studio", "SITE_URL": "http://127.0.0.1:9/"}
    with serve(COMFYUI) as url:
        settings = select_site(load_settings(), url)

    assert (settings.site, settings.site_url) == ("comfyui", None)


def test_contradicting_variables_are_refused() -> None:
    """One of them would be ignored."""
    os.environ |= {"SITE": "studio", "SITE_URL": "http://127.0.0.1:9/"}

    with pytest.raises(StartError, match="SITE and SITE_URL"):
        select_site(load_settings(), None)


def test_other_processes_refuse_the_variable() -> None:
    """They do not ask programs for their names."""
    os.environ["SITE_URL"] = "http://127.0.0.1:9/"

    with pytest.raises(SettingsError, match="SITE_URL: only"):
        Recipes.from_settings(load_settings())


def test_the_variable_must_be_a_url() -> None:
    """Checked with all other settings."""
    os.environ["SITE_URL"] = "comfyui"

    with pytest.raises(SettingsError, match="SITE_URL: 'comfyui' is not"):
        load_settings()


def test_unusable_pages_get_a_reason() -> None:
    """A page of unknown make, an app without a picture, and silence."""
    with serve_plain_pages() as url, pytest.raises(StartError, match="sites learn"):
        select_site(load_settings(), f"{url}/working")
    with serve(gradio("Mine")) as url, pytest.raises(StartError, match="no image and no gallery"):
        select_site(load_settings(), url)
    with pytest.raises(StartError, match="does not answer"):
        select_site(load_settings(), "http://127.0.0.1:9/")
