"""Name servers that hang hold up only the webhooks of the owner whose hosts they serve."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from api.webhooks import target_check
from api.webhooks.target_check import require_allowed_url
from schemas.errors import Invalid, LimitReached
from schemas.http.address_policy import AddressPolicy
from tests.conftest import eventually
from workers.webhooks import client
from workers.webhooks.client import WebhookClient


class HangingResolver:
    """Looks up hosts: those below ``hanging.example`` not before ``release`` is set, and none has an address."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.hanging: list[str] = []

    def resolve(self, host: str, _port: int) -> list[str]:
        """Raise OSError, sooner or later."""
        if host.endswith("hanging.example"):
            self.hanging.append(host)
            assert self.release.wait(30)
        raise OSError("no such host")


def test_deliveries_of_one_owner_do_not_hold_up_those_of_another() -> None:
    """More hosts than there are threads hang; another owner's host is looked up at once, and all of them in the end."""
    resolver = HangingResolver()

    async def run() -> tuple[str | None, int, list[str | None]]:
        http = WebhookClient(AddressPolicy(()), resolver.resolve)
        urls = [f"https://{number}.hanging.example/" for number in range(client.RESOLVER_THREADS + 1)]
        posts = [asyncio.create_task(http.post(url, {}, b"{}", "ann")) for url in urls]
        await asyncio.to_thread(eventually, lambda: len(resolver.hanging) == client.MAX_LOOKUPS_PER_OWNER)
        other = await asyncio.create_task(http.post("https://other.example/", {}, b"{}", "bob"))
        hanging = len(resolver.hanging)
        resolver.release.set()
        outcomes = await asyncio.gather(*posts)
        await http.close()
        return other.error, hanging, [outcome.error for outcome in outcomes]

    other, hanging, errors = asyncio.run(run())

    assert other == "The host does not resolve."
    assert hanging == client.MAX_LOOKUPS_PER_OWNER
    assert set(errors) == {other}


def test_submitted_addresses_of_one_owner_do_not_hold_up_those_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner is asked to wait; another owner's address is looked up, and the first one's again afterwards."""
    resolver = HangingResolver()
    monkeypatch.setattr(target_check, "resolve", resolver.resolve)
    ends: list[Exception] = []

    def submit(owner: str, host: str) -> Exception | None:
        try:
            require_allowed_url(owner, f"https://{host}/", AddressPolicy(()))
        except (Invalid, LimitReached) as error:
            return error
        return None

    threads = [
        threading.Thread(target=_collect(ends, lambda: submit("ann", "hanging.example")))
        for _ in range(target_check.MAX_LOOKUPS_PER_OWNER)
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: len(resolver.hanging) == len(threads))

    assert isinstance(submit("ann", "other.example"), LimitReached)
    assert isinstance(submit("bob", "other.example"), Invalid)
    resolver.release.set()
    for thread in threads:
        thread.join()
    assert [type(end) for end in ends] == [Invalid] * len(threads)
    assert isinstance(submit("ann", "other.example"), Invalid)


def _collect(ends: list[Exception], run: Callable[[], Exception | None]) -> Callable[[], None]:
    def call() -> None:
        if end := run():
            ends.append(end)

    return call
