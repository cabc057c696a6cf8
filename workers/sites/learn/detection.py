"""Detection of the program that answers at a URL, by the descriptions that programs publish about themselves.

Only GET requests are sent, one for each kind of program, and nothing is generated.
"""

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import httpx

REQUEST_TIMEOUT_S = 20.0
MAX_DESCRIPTION_BYTES = 64 * 1024 * 1024
# Component ids that only one program has. Forge and reForge keep the ids of AUTOMATIC1111.
TXT2IMG_IDS = frozenset({"txt2img_prompt", "txt2img_generate", "txt2img_gallery"})
CHECKPOINT_ID = "setting_sd_model_checkpoint"
FOOOCUS_IDS = frozenset({"positive_prompt", "generate_button", "final_gallery"})
LOCAL_SUFFIXES = (".local", ".lan", ".home", ".internal", ".localhost")


class SiteNotRecognizedError(Exception):
    """The program at a URL is unknown or does not answer; the message is one line that says why and what to do."""


@dataclass(frozen=True, slots=True)
class DetectedProgram:
    """The program behind a URL.

    ``recipe`` is the name of the recipe for it, None if it has none; ``config`` is the layout that a Gradio app
    publishes, None for other programs. ``url`` is the page's URL after redirects.
    """

    url: str
    title: str
    version: str = ""
    recipe: str | None = None
    config: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def label(self) -> str:
        """The program and its version for people."""
        return f"{self.title} {self.version}".strip()


@dataclass(frozen=True, slots=True)
class _Answer:
    url: str
    status: int
    document: Any


def detect_program(url: str) -> DetectedProgram:
    """Return the program that answers at a URL.

    Raises:
        SiteNotRecognizedError: nothing answers, or a login comes first.
    """
    with httpx.Client(timeout=REQUEST_TIMEOUT_S, follow_redirects=True, trust_env=False) as client:
        page = _get(client, page_url(url))
        base = page_url(page.url)
        if page.status >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise SiteNotRecognizedError(f"{url} answers with status {page.status}; try again once the program runs.")
        for detect in (_detect_comfyui, _detect_invokeai, _detect_gradio):
            if program := detect(client, base):
                return program
    if page.status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise SiteNotRecognizedError(f"{url} requires a login, so its program cannot be determined.")
    return DetectedProgram(base, "a page that is not made with a known program")


def page_url(url: str) -> str:
    """Return the URL of a page with a path that ends in a slash, so that relative paths are below it."""
    parts = urlsplit(url)
    is_file = "." in parts.path.rpartition("/")[2]
    path = parts.path if is_file or parts.path.endswith("/") else f"{parts.path}/"
    return urlunsplit(parts._replace(path=path, fragment=""))


def is_local_host(host: str) -> bool:
    """Return whether a host is this machine or on its own network, by its name or address alone."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(LOCAL_SUFFIXES)


def _detect_comfyui(client: httpx.Client, base: str) -> DetectedProgram | None:
    system = _object(_get(client, urljoin(base, "system_stats")).document, "system")
    if system is None or "comfyui_version" not in system:
        return None
    return DetectedProgram(base, "ComfyUI", str(system["comfyui_version"]), "comfyui")


def _detect_invokeai(client: httpx.Client, base: str) -> DetectedProgram | None:
    answer = _get(client, urljoin(base, "api/v1/app/version")).document
    if not isinstance(answer, dict) or not isinstance(answer.get("version"), str):
        return None
    return DetectedProgram(base, "InvokeAI", answer["version"], "invokeai")


def _detect_gradio(client: httpx.Client, base: str) -> DetectedProgram | None:
    answer = _get(client, urljoin(base, "config"))
    config = answer.document
    if answer.status == httpx.codes.UNAUTHORIZED and isinstance(config, dict) and "detail" in config:
        raise SiteNotRecognizedError(
            f"{base} is a Gradio app with a login, and it publishes its layout only after that. Start it without a "
            "login, or name a recipe with SITE and SITE_<NAME>_URL and run './darkroom sites login NAME'."
        )
    if not isinstance(config, dict) or not isinstance(config.get("components"), list) or "dependencies" not in config:
        return None
    version = str(config.get("version") or "").strip()
    ids = _element_ids(config)
    if ids >= TXT2IMG_IDS:
        title = "AUTOMATIC1111" if CHECKPOINT_ID in ids else "Forge"
        return DetectedProgram(base, title, f"(Gradio {version})", "automatic1111", config)
    if ids >= FOOOCUS_IDS:
        return DetectedProgram(base, str(config.get("title") or "Fooocus"), f"(Gradio {version})", "fooocus", config)
    return DetectedProgram(base, "Gradio", version, None, config)


def _element_ids(config: Mapping[str, Any]) -> set[str]:
    properties = [_object(component, "props") or {} for component in config["components"]]
    return {str(item["elem_id"]) for item in properties if item.get("elem_id")}


def _object(value: Any, key: str) -> dict[str, Any] | None:
    """Return the object under a key of another one, None if either is something else."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else None


def _get(client: httpx.Client, url: str) -> _Answer:
    """Return the answer to a request; its document is None unless it is JSON of a reasonable size."""
    try:
        with client.stream("GET", url) as response:
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MAX_DESCRIPTION_BYTES:
                    return _Answer(str(response.url), response.status_code, None)
            return _Answer(str(response.url), response.status_code, _parse(bytes(body)))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        raise SiteNotRecognizedError(f"{url} does not answer: {reason}. Start the program first.") from error


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
