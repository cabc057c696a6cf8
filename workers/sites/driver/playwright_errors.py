"""Translates Playwright's errors into service errors."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.async_api import Error
from playwright.async_api import TimeoutError as PlaywrightTimeout

from schemas.errors import BrowserLost, SiteChanged, SiteSlow

# Playwright has no error classes for these, only messages: a closed page or browser, and an element that the page has
# drawn again since it was found, as frameworks do.
CLOSED_MESSAGES = ("has been closed", "Target crashed", "Connection closed", "Browser closed", "Target closed")
REPLACED_MESSAGES = ("not attached", "detached", "Execution context was destroyed")


@contextmanager
def translate_playwright_errors() -> Iterator[None]:
    """Raise service errors for the errors of Playwright calls in the block.

    Raises:
        SiteSlow: the page did not react in time. The element exists, so the page has not changed.
        SiteChanged: the page did not behave as the recipe expects.
        BrowserLost: the page or the browser is gone.
    """
    try:
        yield
    except PlaywrightTimeout as error:
        raise SiteSlow(f"The page did not react in time: {first_line(error)}") from error
    except Error as error:
        if is_closed(error):
            raise BrowserLost from error
        raise SiteChanged(first_line(error)) from error


def is_closed(error: Error) -> bool:
    """Whether the error means that the page or the browser is gone."""
    return any(message in error.message for message in CLOSED_MESSAGES)


def is_replaced(error: Error) -> bool:
    """Whether the error means that the page has removed or replaced the element."""
    return any(message in error.message for message in REPLACED_MESSAGES)


def first_line(error: Error) -> str:
    """Return the message without Playwright's call log."""
    return error.message.partition("\n")[0]
