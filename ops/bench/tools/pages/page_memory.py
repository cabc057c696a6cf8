"""The parts of the memory of the studio's page, compared with an empty page in the same browser.

The parts are what the kernel says about the page's renderer process (proportional set size), and what Chromium's own
memory dump says about the process. The dump's parts overlap the kernel's, and count memory that is not resident too.
"""

import asyncio
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, CDPSession, Page, async_playwright

from ops.infra.browser_install import find_browser
from ops.infra.settings import load_settings
from schemas.sites.recipe import Recipe
from stores.sites.recipes import Recipes
from stores.sites.static_sites import get_bundle_folder
from workers.sites.driver.static_server import serve_bundle

BYTES_PER_MB = 1024 * 1024
EMPTY_PAGE = "data:text/html,<p>empty"
TIMEOUT_MS = 300_000
MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+ *(.*)")
SHARED_MEMORY = ("/memfd:", "/dev/shm/")  # noqa: S108 - a name that the kernel shows
TOTAL, CODE, SHARED, PRIVATE = "all of its process", "browser's code", "shared with the compositor", "its own"
# The names of the browser's allocators.
ALLOCATORS = {
    "JavaScript's heap": "v8/main/heap",
    "bytes of arrays": "partition_alloc/partitions/array_buffer",
    "page's objects": "blink_gc/main/heap",
    "canvas, texts, the rest of malloc": "malloc/allocated_objects",
    "tiles of the compositor": "cc/tile_memory",
}
TRACE_CONFIG = {
    "includedCategories": ["disabled-by-default-memory-infra"],
    "excludedCategories": ["*"],
    "memoryDumpConfig": {"triggers": []},
}


@dataclass(frozen=True, slots=True)
class PageMemory:
    """Megabytes by part, and the number of DOM nodes."""

    parts: dict[str, float]
    nodes: int


def measure_pages(steps: int) -> dict[str, PageMemory]:
    """Measure an empty page, and the studio when it has painted a picture, before and after a garbage collection."""
    return asyncio.run(_measure_pages(steps))


async def _measure_pages(steps: int) -> dict[str, PageMemory]:
    settings = load_settings()
    found = find_browser(settings.browser)
    if found is None:
        raise RuntimeError("there is no browser: run './darkroom doctor'")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found.path)
        empty = await (await browser.new_context()).new_page()
        await empty.goto(EMPTY_PAGE)
        measured = {"empty": await _measure(browser, empty)}
        studio = await _paint(browser, Recipes("studio").default, steps)
        measured["painted"] = await _measure(browser, studio)
        await (await studio.context.new_cdp_session(studio)).send("HeapProfiler.collectGarbage")
        measured["collected"] = await _measure(browser, studio)
        await browser.close()
    return measured


async def _paint(browser: Browser, recipe: Recipe, steps: int) -> Page:
    folder = get_bundle_folder(recipe)
    if folder is None:
        raise ValueError("the studio is a bundled page")
    context = await browser.new_context()
    await serve_bundle(context, recipe.url, folder)
    page = await context.new_page()
    await page.goto(recipe.url)
    await page.fill("#prompt", "a lighthouse at dusk")
    await page.fill("#steps", str(steps))
    await page.click("#generate")
    await page.wait_for_selector("#studio[data-state=done]", timeout=TIMEOUT_MS)
    return page


async def _measure(browser: Browser, page: Page) -> PageMemory:
    """Measure the busiest renderer: before anything is painted there is one, afterwards it is the studio's."""
    session = await browser.new_browser_cdp_session()
    processes = (await session.send("SystemInfo.getProcessInfo"))["processInfo"]
    renderers = {each["id"]: each["cpuTime"] for each in processes if each["type"] == "renderer"}
    pid = max(renderers, key=lambda each: renderers[each])
    # The kernel first: the browser collects garbage for its dump.
    parts = _read_mappings(pid) | _read_allocators(await _dump_memory(session), pid)
    counters = await (await page.context.new_cdp_session(page)).send("Memory.getDOMCounters")
    return PageMemory(parts, counters["nodes"])


def _read_mappings(pid: int) -> dict[str, float]:
    """Return the proportional set size of a process by kind of mapping; empty where the kernel does not tell."""
    sizes: Counter[str] = Counter()
    kind = PRIVATE
    try:
        lines = Path(f"/proc/{pid}/smaps").read_text().splitlines()
    except OSError:
        return {}
    for line in lines:
        if match := MAPPING.match(line):
            name = match[1]
            is_file = name.startswith("/")
            kind = SHARED if name.startswith(SHARED_MEMORY) else CODE if is_file else PRIVATE
        elif line.startswith("Pss:"):
            sizes[kind] += int(line.split()[1])
    return {name: kilobytes / 1024 for name, kilobytes in {TOTAL: sizes.total(), **sizes}.items()}


async def _dump_memory(session: CDPSession) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    complete = asyncio.Event()
    session.on("Tracing.dataCollected", lambda event: events.extend(event["value"]))
    session.on("Tracing.tracingComplete", lambda _: complete.set())
    await session.send("Tracing.start", {"traceConfig": TRACE_CONFIG, "transferMode": "ReportEvents"})
    await session.send("Tracing.requestMemoryDump", {"levelOfDetail": "detailed"})
    await session.send("Tracing.end")
    async with asyncio.timeout(TIMEOUT_MS / 1000):
        await complete.wait()
    return events


def _read_allocators(events: list[dict[str, Any]], pid: int) -> dict[str, float]:
    found: dict[str, Any] = {}
    for event in events:
        if event.get("ph") == "v" and event.get("pid") == pid:
            found |= event["args"].get("dumps", {}).get("allocators") or {}
    sizes = {name: found.get(path, {}).get("attrs", {}).get("size", {}) for name, path in ALLOCATORS.items()}
    return {name: int(size.get("value", "0"), 16) / BYTES_PER_MB for name, size in sizes.items()}
