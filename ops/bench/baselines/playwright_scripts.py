"""Plain Playwright scripts: the baselines of the benchmarks ``pipeline``, ``density`` and ``sites``.

``python -m ops.bench.baselines.playwright_scripts NAME [ARGS]`` reads commands from stdin and prints JSON lines; see
``ops.bench.tools.baseline_process``.
"""

import asyncio
import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Playwright, async_playwright

from ops.bench.baselines.site_scripts import fetch_images
from ops.infra.browser_install import find_browser
from ops.infra.settings import load_settings
from schemas.sites.recipe import Recipe
from stores.sites.recipes import Recipes
from stores.sites.static_sites import get_bundle_folder
from workers.sites.driver.static_server import serve_bundle

STUDIO_STEPS = 20
FETCH_IMAGE_JS = """async (url) => {
  const bytes = new Uint8Array(await (await fetch(url)).arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text);
}"""


async def generate(context: BrowserContext, recipe: Recipe, prompt: str, steps: int) -> bytes:
    """Drive the studio as a simple script does, and return the bytes of one image."""
    folder = get_bundle_folder(recipe)
    if folder is None:
        raise ValueError("the baselines drive a bundled page")
    await serve_bundle(context, recipe.url, folder)
    page = await context.new_page()
    await page.goto(recipe.url)
    await page.fill("#prompt", prompt)
    await page.fill("#steps", str(steps))
    await page.click("#generate")
    await page.wait_for_selector("#studio[data-state=done]", timeout=300_000)
    url = await page.get_attribute("#result", "src")
    return base64.b64decode(await page.evaluate(FETCH_IMAGE_JS, url))


async def _launch(playwright: Playwright, path: Path) -> Browser:
    return await playwright.chromium.launch(executable_path=path)


async def _pipeline(playwright: Playwright, path: Path, recipe: Recipe) -> None:
    """For each ``N STEPS`` on stdin, generate N images at once in contexts of one browser; print the seconds."""
    browser = await _launch(playwright, path)

    async def run_job(number: int, steps: int) -> None:
        context = await browser.new_context()
        await generate(context, recipe, f"a lighthouse at dusk, number {number}", steps)
        await context.close()

    _print_json({"ready": True})
    async for args in _lines():
        number, steps = (int(arg) for arg in args)
        started_at = time.perf_counter()
        await asyncio.gather(*(run_job(index, steps) for index in range(number)))
        _print_json({"seconds": time.perf_counter() - started_at})
    await browser.close()


async def _density(playwright: Playwright, path: Path, recipe: Recipe) -> None:
    """For each ``N STEPS`` on stdin, generate N images at once with a browser each; print when all are done.

    With a URL as a further argument, that light page is driven in place of the studio.
    """
    url = sys.argv[2] if len(sys.argv) > 2 else ""

    async def run_job(number: int, steps: int) -> None:
        browser = await _launch(playwright, path)
        context = await browser.new_context()
        if url:
            await _watch_clock(context, url)
        else:
            await generate(context, recipe, f"a lighthouse at dusk, number {number}", steps)
        await browser.close()

    _print_json({"ready": True})
    async for args in _lines():
        number, steps = (int(arg) for arg in args)
        await asyncio.gather(*(run_job(index, steps) for index in range(number)))
        _print_json({"done": True})


async def _sites(playwright: Playwright, path: Path, recipe: Recipe) -> None:
    """For each ``SITE`` on stdin, generate its images in a context of one browser; print the seconds."""
    urls: dict[str, str] = json.loads(sys.argv[2])
    session = sys.argv[3]
    browser = await _launch(playwright, path)
    _print_json({"ready": True})
    async for (site,) in _lines():
        started_at = time.perf_counter()
        context = await browser.new_context()
        if site == recipe.name:
            await generate(context, recipe, "a lighthouse at dusk", STUDIO_STEPS)
        else:
            await context.add_cookies([{"name": "session", "value": session, "url": urls[site]}])
            await fetch_images(context, site, urls[site], "a lighthouse at dusk")
        await context.close()
        _print_json({"seconds": time.perf_counter() - started_at})
    await browser.close()


async def _watch_clock(context: BrowserContext, url: str) -> None:
    page = await context.new_page()
    await page.goto(url)
    await page.fill("#prompt", "what time is it")
    await page.click("#go")
    await page.wait_for_selector("#result", timeout=300_000)


async def _lines() -> Any:
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield line.split()


def _print_json(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def main(name: str) -> None:
    """Run one of the scripts until stdin ends."""
    settings = load_settings()
    browser = find_browser(settings.browser)
    if browser is None:
        raise SystemExit("No browser is installed; run ./darkroom doctor for instructions.")
    async with async_playwright() as playwright:
        script = {"pipeline": _pipeline, "density": _density, "sites": _sites}[name]
        await script(playwright, browser.path, Recipes("studio").default)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
