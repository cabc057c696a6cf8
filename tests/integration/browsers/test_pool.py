"""The browser pool: isolated contexts, retirement, and recovery from killed browsers and pages."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Error

from ops.infra.browser_install import find_browser
from schemas.errors import BrowserLost
from tests.conftest import TIMEOUT_S, eventually
from workers.browsers import playwright_server
from workers.browsers import pool as pool_module
from workers.browsers.launchers import LocalBrowser
from workers.browsers.os_processes import cmdline, find_browser_processes, is_browser
from workers.browsers.pool import BrowserPool, BrowserPoolConfig


class FakeMonotonic:
    """A clock that tests advance by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the current time in seconds."""
        return self.now


def pool_config(**changes: Any) -> BrowserPoolConfig:
    """Return a configuration that retires no browser unless ``changes`` say so."""
    browser = find_browser(os.environ.get("BROWSER"))
    assert browser
    source = LocalBrowser(browser.path, sandbox=False)
    defaults = {"source": source, "slots": 4, "max_contexts": 100, "max_age_s": 3600.0}
    return BrowserPoolConfig(
        **{**defaults, "max_memory_bytes": 10**12, "drain_timeout_s": 5.0, "user_agent_suffix": "Test/1", **changes}
    )


@asynccontextmanager
async def started_pool(ticks: FakeMonotonic | None = None, **changes: Any) -> AsyncIterator[BrowserPool]:
    """Run a pool and stop it at the end."""
    pool = BrowserPool(pool_config(**changes), ticks or FakeMonotonic())
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


def run(work: Callable[[], Awaitable[None]]) -> None:
    """Run ``work`` with a timeout."""

    async def bounded() -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await work()

    asyncio.run(bounded())


async def until(condition: Callable[[], Any]) -> None:
    """Wait until ``condition`` holds, without blocking the event loop."""
    await asyncio.to_thread(eventually, condition)


def ignore_loss() -> None:
    """Callback for tests that do not observe the loss of a browser."""


def test_contexts_are_isolated() -> None:
    """Cookies do not leak into the next context; the user agent has the suffix."""

    async def work() -> None:
        async with started_pool() as pool:
            async with pool.lease(ignore_loss) as context:
                await context.add_cookies([{"name": "a", "value": "b", "url": "http://127.0.0.1/"}])
                page = await context.new_page()
                assert (await page.evaluate("navigator.userAgent")).endswith("Test/1")
                assert await page.evaluate("navigator.webdriver")
                assert pool.open_contexts == 1
            async with pool.lease(ignore_loss) as context:
                assert await context.cookies() == []
            assert (pool.open_contexts, pool.launch_count) == (0, 1)

    run(work)


def test_a_browser_is_retired_after_max_contexts() -> None:
    """The successor starts first, and the old browser closes after its last context."""

    async def work() -> None:
        async with started_pool(max_contexts=2) as pool:
            async with pool.lease(ignore_loss) as old:
                first = old.browser
                assert first
                async with pool.lease(ignore_loss):
                    pass
                async with pool.lease(ignore_loss) as new:
                    assert new.browser is not first
                    assert first.is_connected()
                    assert pool.launch_count == 2
            await until(lambda: not first.is_connected())

    run(work)


@pytest.mark.parametrize(("changes", "seconds"), [({"max_age_s": 60.0}, 61), ({"max_memory_bytes": 1}, 0)])
def test_a_browser_is_retired_when_it_is_old_or_large(changes: dict[str, Any], seconds: float) -> None:
    """The health check retires it; a young and small browser stays."""

    async def work() -> None:
        ticks = FakeMonotonic()
        async with started_pool(ticks, **changes) as pool:
            ticks.now += seconds
            await pool.check_health()
            assert pool.launch_count == 2
            assert pool.is_ready
            assert pool.memory_bytes > 1_000_000

        async with started_pool() as pool:
            await pool.check_health()
            assert pool.launch_count == 1

    run(work)


def test_a_slow_browser_is_retired(monkeypatch: pytest.MonkeyPatch) -> None:
    """The health check opens an empty page with a timeout."""
    monkeypatch.setattr(playwright_server, "PAGE_CHECK_TIMEOUT_S", 0.0)

    async def work() -> None:
        async with started_pool() as pool:
            await pool.check_health()
            assert pool.launch_count == 2

    run(work)


def test_a_close_that_hangs_retires_the_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slot is released although the close never returns."""

    async def work() -> None:
        async with started_pool(slots=1) as pool:
            monkeypatch.setattr(pool_module, "CLOSE_TIMEOUT_S", 0.2)
            async with pool.lease(ignore_loss) as context:
                monkeypatch.setattr(context, "close", asyncio.Event().wait)
            async with pool.lease(ignore_loss):
                await until(lambda: pool.launch_count == 2)

    run(work)


def test_a_killed_browser_is_noticed_and_replaced() -> None:
    """The holder of a context is notified; the next lease gets a new browser."""

    async def work() -> None:
        async with started_pool() as pool:
            lost = asyncio.Event()
            async with pool.lease(lost.set) as context:
                page = await context.new_page()
                _kill_browser(pool)
                await lost.wait()
                with pytest.raises(Error):
                    await page.evaluate("1")
            async with pool.lease(ignore_loss) as context:
                page = await context.new_page()
                assert await page.evaluate("1 + 1") == 2
            assert pool.launch_count == 2

    run(work)


def test_a_killed_idle_browser_is_replaced_at_once() -> None:
    """The replacement does not wait for the next lease."""

    async def work() -> None:
        async with started_pool() as pool:
            _kill_browser(pool)
            await until(lambda: pool.launch_count == 2 and pool.is_ready)

    run(work)


def test_a_killed_driver_is_noticed_and_replaced() -> None:
    """Playwright sends no event when its driver process dies; the holder of a context is notified all the same."""

    async def work() -> None:
        async with started_pool() as pool:
            lost = asyncio.Event()
            async with pool.lease(lost.set):
                driver_process = pool._playwright._process
                assert driver_process
                driver_process.kill()
                await lost.wait()
            await pool.ensure_browser()
            async with pool.lease(ignore_loss) as context:
                page = await context.new_page()
                assert await page.evaluate("1 + 1") == 2
            assert (pool._playwright.start_count, pool.launch_count) == (2, 2)

    run(work)


def test_a_pool_recovers_when_the_browser_program_returns(tmp_path: Path) -> None:
    """While the program is missing the pool is not ready and raises BrowserLost."""

    async def work() -> None:
        program = tmp_path / "browser"
        program.symlink_to(pool_config().source.path)
        async with started_pool(source=LocalBrowser(program, sandbox=False)) as pool:
            program.rename(tmp_path / "elsewhere")
            _kill_browser(pool)
            await until(lambda: not pool.is_ready)
            with pytest.raises(BrowserLost):
                await pool.ensure_browser()
            assert not pool.is_ready
            (tmp_path / "elsewhere").rename(program)
            await pool.ensure_browser()
            assert pool.is_ready

    run(work)


def test_a_killed_page_is_noticed() -> None:
    """A crashed renderer affects only its own context."""

    async def work() -> None:
        async with started_pool() as pool:
            lost, unharmed = asyncio.Event(), asyncio.Event()
            async with pool.lease(lost.set) as context, pool.lease(unharmed.set) as other:
                page, bystander = await context.new_page(), await other.new_page()
                await bystander.goto("data:text/html,<p>here</p>")
                # This address makes the renderer crash.
                crash = asyncio.create_task(page.goto("chrome://crash"))
                await lost.wait()
                with contextlib.suppress(Error):
                    await crash
                assert await bystander.inner_text("p") == "here"
                assert not unharmed.is_set()
            assert pool.launch_count == 1

    run(work)


def _kill_browser(pool: BrowserPool) -> None:
    assert pool._current
    # If the browser's program is a shell script, the script comes first and the browser is its child.
    marker = pool._current.marker
    main_processes = [process for process in find_browser_processes(marker) if is_browser(cmdline(process), marker)]
    os.kill(main_processes[-1].pid, signal.SIGKILL)
