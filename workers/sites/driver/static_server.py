"""Serves a bundled page to the worker's browser from a folder, by answering requests inside the browser."""

import re
from pathlib import Path

from playwright.async_api import BrowserContext, Route

from schemas.http.content_security_policy import CONTENT_SECURITY_POLICY
from stores.sites.static_sites import guess_content_type, resolve_file

ANY_URL = re.compile("^https?://")


async def serve_bundle(context: BrowserContext, base_url: str, folder: Path) -> None:
    """Answer all requests below ``base_url`` with files of ``folder``, and all other requests with 404."""

    async def answer(route: Route) -> None:
        url = route.request.url
        file = resolve_file(folder, url.removeprefix(base_url)) if url.startswith(base_url) else None
        if file is None:
            await route.fulfill(status=404, body="")
            return
        headers = {"content-security-policy": CONTENT_SECURITY_POLICY}
        await route.fulfill(path=file, content_type=guess_content_type(file), headers=headers)

    await context.route(ANY_URL, answer)
