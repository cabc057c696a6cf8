"""The translation of Playwright's errors into ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.async_api import Error
from playwright.async_api import TimeoutError as PlaywrightTimeout

from schemas.errors import BrowserLost, ServiceError, SiteChanged

CLOSED_MESSAGES = ("has been closed", "Target crashed", "Connection closed", "Browser closed", "Target closed")


@contextmanager
def translate_playwright_errors() -> Iterator[None]:
    """Playwright's errors as ours.

    Raises:
        SiteChanged: the page did not do what was expected.
        BrowserLost: there is no page any more.
    """
    try:
        yield
    except PlaywrightTimeout as error:
        raise SiteChanged(f"The page did not do what its recipe expects: {first_line(error)}") from error
    except Error as error:
        ours: ServiceError = BrowserLost() if is_closed(error) else SiteChanged(first_line(error))
        raise ours from error


def is_closed(error: Error) -> bool:
    """Whether it says that the page or the browser is no more."""
    return any(words in error.message for words in CLOSED_MESSAGES)


def first_line(error: Error) -> str:
    """What went wrong, without Playwright's log of the call."""
    return error.message.partition("\n")[0]
