"""Part of the benchmark ``console``: scrolling through the grid of a large model library."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Page

from ops.bench.report import Row
from ops.bench.tools.console_browser import open_page
from ops.bench.tools.library_fixture import create_models, scan
from ops.testbed.stack import run_stack

MAX_LONG_TASKS, MAX_TAB_MB = 0, 150.0
BYTES_PER_MB = 1e6
SHARED_MEMORY = "/memfd:"
CARD = ".model-cell a[href]"
# Scrolls from top to bottom in so many frames, and returns the durations of tasks of 50 ms or more, in milliseconds.
# Waits for the cards at each of ten stops, as a person does who looks at them.
SCROLL = """async ([frames, stops]) => {
  const tasks = [];
  const observer = new PerformanceObserver((list) => tasks.push(...list.getEntries().map((entry) => entry.duration)));
  observer.observe({ type: "longtask" });
  const frame = () => new Promise(requestAnimationFrame);
  const bottom = document.documentElement.scrollHeight - innerHeight;
  for (let number = 1; number <= frames; number += 1) {
    scrollTo(0, bottom * number / frames);
    await frame();
    if (number % Math.ceil(frames / stops)) continue;
    while (document.querySelector(".model-cell a:not([href])")) await frame();
  }
  await new Promise((resolve) => setTimeout(resolve, 200));
  tasks.push(...observer.takeRecords().map((entry) => entry.duration));
  return tasks;
}"""
STOPS = 10


def measure_grid(browser: Browser, models: int, frames: int) -> Iterator[Row]:
    """Scroll through the grid of ``models`` models in so many frames."""
    with tempfile.TemporaryDirectory(prefix="dr-library-") as name:
        folder = Path(name)
        create_models(folder, models)
        with run_stack("web", MODELS_DIR=str(folder), LOG_LEVEL="warning") as stack:
            scan(folder, stack.settings.data_dir)
            page = open_page(browser, stack)
            page.goto(f"{stack.settings.public_url}/console/models")
            page.wait_for_selector(CARD)
            tasks = page.evaluate(SCROLL, [frames, STOPS])
            yield Row(
                f"tasks over 50 ms in a scroll through {models:,} models", len(tasks), "", max_value=MAX_LONG_TASKS
            )
            yield Row("longest of them", max(tasks, default=0), "ms")
            yield Row("memory of its tab", _tab_memory_mb(page), "MB", max_value=MAX_TAB_MB)


def _tab_memory_mb(page: Page) -> float:
    """Return the memory of the largest renderer process, that of the only page which is open.

    The browser's program and libraries, which all of its processes share, are left out, as in the browser's own task
    manager.
    """
    page.bring_to_front()
    renderers = [each for each in psutil.Process().children(recursive=True) if "--type=renderer" in each.cmdline()]
    return max(map(_own_memory_bytes, renderers)) / BYTES_PER_MB


def _own_memory_bytes(process: psutil.Process) -> int:
    maps = process.memory_maps()
    return sum(each.pss for each in maps if not each.path.startswith("/") or each.path.startswith(SHARED_MEMORY))
