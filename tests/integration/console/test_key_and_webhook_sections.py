"""The Keys and Webhooks sections in a real browser."""

import asyncio
import json
from dataclasses import replace

import pytest
from playwright.async_api import Page, Response, expect

from schemas.accounts.caller import Scope, parse_limits
from schemas.webhooks.subscriptions import DeliveryAttempt, DeliveryState, NewDelivery
from stores.accounts.api_keys import KeyChange
from stores.webhooks.deliveries import DeliveryOutcome
from tests.conftest import API_KEY, eventually
from tests.integration.conftest import AppClient
from tests.support.console_browser import HOSTILE, require_accessible, visit

HTML = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}


def status_of(app: AppClient, key: str) -> int:
    """The status that a request with the key gets."""
    return int(app.client.get("/api/v1/jobs", headers={"x-api-key": key}).status_code)


def test_a_key_is_created_changed_and_revoked(app: AppClient, app_url: str) -> None:
    """It is shown once, works with the chosen limits, and ends within a second of its revocation."""

    async def work(page: Page) -> None:
        await page.goto(f"{app_url}/console/keys")
        await page.get_by_label("Holder of the key").fill(HOSTILE)
        await page.get_by_label("Pictures a day").fill("many")
        await page.get_by_role("button", name="Create the key").click()
        await expect(page.get_by_role("alert")).to_contain_text("daily=many")
        await expect(page.get_by_label("Holder of the key")).to_have_value(HOSTILE)
        await page.get_by_label("Pictures a day").fill("7")
        await page.get_by_role("button", name="Create the key").click()
        key = await page.locator("#secret").inner_text()
        assert status_of(app, key) == 200
        await require_accessible(page)

        await page.get_by_role("link", name="I have stored it").click()
        await expect(page.locator("#secret")).to_have_count(0)
        assert key not in await page.content()
        await page.get_by_role("link", name=HOSTILE).click()
        await expect(page.get_by_label("Pictures a day")).to_have_value("7")
        await page.get_by_label("Plan").fill("pro")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("status").first).to_contain_text("Changed")
        changed = app.stores.api_keys.authenticate_uncached(key)
        assert changed
        assert (changed.plan, changed.limits) == ("pro", parse_limits("daily=7"))
        await require_accessible(page)

        await page.get_by_text("Revoke…").click()
        await page.get_by_role("button", name="Revoke the key").click()
        await expect(page.get_by_role("status").first).to_contain_text("is revoked")
        # A request that began before may have renewed the copy of the key's record.
        await asyncio.to_thread(eventually, lambda: status_of(app, key) == 401)
        await require_accessible(page)

    visit(app_url, work)


def test_a_caller_without_admin_sees_and_replaces_only_their_own_key(app: AppClient) -> None:
    """Other keys look like missing ones; the owner's is never changed by a form."""
    key = app.stores.api_keys.create("reader", KeyChange(scopes=frozenset({Scope.READ})))
    other = app.stores.api_keys.create("another one").split("_")[1]
    own = key.split("_")[1]
    headers, admin = {**HTML, "x-api-key": key}, {**HTML, "x-api-key": API_KEY}

    page = app.client.get("/console/keys", headers=headers).text
    assert ("reader" in page, "another one" in page, "Create the key" in page) == (True, False, False)
    assert app.client.get(f"/console/keys/{other}", headers=headers).status_code == 404
    assert app.client.post("/console/keys", data={"name": "x"}, headers=headers).status_code == 403
    assert app.client.post(f"/console/keys/{other}/rotate", headers=headers).status_code == 404
    assert app.client.post(f"/console/keys/{own}/revoke", headers=headers).status_code == 403
    assert app.client.post("/console/keys/owner/revoke", headers=admin).status_code == 400
    replaced = app.client.post(f"/console/keys/{own}/rotate", headers=headers)
    assert replaced.headers["Cache-Control"] == "no-store"
    # Where to go on after a sign-in: only a form opens the page itself.
    assert 'data-address="/console/keys"' in replaced.text
    assert eventually(lambda: status_of(app, key) == 401)


def test_changed_limits_hold_for_waiting_jobs(app: AppClient) -> None:
    """The queue counts with the new number of jobs that may run."""
    key_id = app.stores.api_keys.create("reader").split("_")[1]
    form = {"name": "reader", "scope_generate": "on", "limit_concurrent": "0"}
    changed = app.client.post(f"/console/keys/{key_id}", data=form, headers={**HTML, "x-api-key": API_KEY})

    assert (changed.status_code, app.stores.redis.get(f"dr:most:{key_id}")) == (303, b"0")


def test_replacing_ones_own_key_keeps_the_browser_signed_in(app: AppClient, app_url: str) -> None:
    """The new key stays on the page, whose stream opens with the new session."""
    key = app.stores.api_keys.create("reader", KeyChange(scopes=frozenset({Scope.READ})))

    def is_stream_of_secret(answer: Response) -> bool:
        return "/console/events" in answer.url and answer.request.headers.get("referer", "").endswith("/rotate")

    async def work(page: Page) -> None:
        await page.goto(f"{app_url}/console/keys/{key.split('_')[1]}")
        await page.get_by_text("Replace by a new key…").click()
        async with page.expect_response(is_stream_of_secret) as stream:
            await page.get_by_role("button", name="Replace the key").click()
        assert (await stream.value).status == 200
        new = await page.locator("#secret").inner_text()
        await asyncio.to_thread(eventually, lambda: status_of(app, key) == 401)
        assert status_of(app, new) == 200
        await page.get_by_role("link", name="I have stored it").click()
        await expect(page.get_by_role("heading", name="Keys")).to_be_visible()

    visit(app_url, work, key)


@pytest.fixture
def failed_delivery(app: AppClient) -> NewDelivery:
    """A webhook whose only delivery has failed."""
    subscription = app.stores.subscriptions.create("owner", "https://hooks.example/", {"description": HOSTILE[:200]})
    body = json.dumps({"type": "job.completed", "prompt": HOSTILE})
    new = NewDelivery(f"msg_{1:032x}", "owner", subscription.url, "job.completed", body, subscription.id)
    app.stores.deliveries.add([new])
    claimed = app.stores.deliveries.claim(app.stores.deliveries.due_destinations()[0], 1)[0]
    attempt = DeliveryAttempt(app.stores.clock.now_ms(), 120, 500, None, HOSTILE)
    outcome = DeliveryOutcome(claimed, attempt, DeliveryState.FAILED, 0, "The receiver answered 500.")
    app.stores.deliveries.record_outcomes([replace(outcome)])
    return new


def test_deliveries_are_understood_and_sent_again(app: AppClient, app_url: str, failed_delivery: NewDelivery) -> None:
    """Each attempt has its reason; one or all are sent again; a test is sent; an address is checked."""

    def state() -> DeliveryState:
        return app.stores.deliveries.get("owner", failed_delivery.id).state

    async def work(page: Page) -> None:
        await page.goto(f"{app_url}/console/webhooks")
        await expect(page.get_by_text("The receiver answered 500.")).to_be_visible()
        await require_accessible(page)
        await page.get_by_role("link", name="job.completed").click()
        await expect(page.locator("table")).to_contain_text("500")
        await expect(page.locator("table")).to_contain_text("<script>")
        await require_accessible(page)
        await page.get_by_role("button", name="Send again").click()
        await asyncio.to_thread(eventually, lambda: state() is DeliveryState.PENDING)

        await page.goto(f"{app_url}/console/webhooks/{failed_delivery.subscription}")
        await page.get_by_role("button", name="Send a test").click()
        await expect(page.get_by_role("link", name="webhook.test")).to_be_visible()
        await require_accessible(page)
        await page.get_by_role("button", name="Send again all that failed").click()
        await expect(page.get_by_role("status").first).to_contain_text("0 deliveries are sent again")

        await page.goto(f"{app_url}/console/webhooks?check=https://127.0.0.1:6379/")
        await expect(page.get_by_role("status").first).to_contain_text("Port 6379 is not allowed")
        await page.locator("#check").fill("https://127.0.0.1/")
        await page.get_by_role("button", name="Check").click()
        await expect(page.get_by_role("region", name="Addresses of the host")).to_contain_text("EGRESS_ALLOW")
        await page.get_by_label("Address", exact=True).first.fill("https://127.0.0.1/hook")
        await page.get_by_role("button", name="Add the webhook").click()
        await expect(page.get_by_role("alert")).to_contain_text("no address that may be called")
        await require_accessible(page)

    visit(app_url, work)


def test_a_webhook_is_added_with_its_secret_and_deleted(app: AppClient) -> None:
    """The secret is shown once; another caller's webhook looks like a missing one."""
    subscription = app.stores.subscriptions.create("owner", "https://hooks.example/", {})
    headers = {**HTML, "x-api-key": API_KEY}
    other_caller = {**HTML, "x-api-key": app.stores.api_keys.create("another one")}
    path = f"/console/webhooks/{subscription.id}"

    assert app.client.get(path, headers=other_caller).status_code == 404
    for action in ("test", "rotate", "enable", "disable", "delete"):
        assert app.client.post(f"{path}/{action}", headers=other_caller).status_code == 404
    assert subscription.secrets[0] not in app.client.get(path, headers=headers).text
    assert "whsec_" in app.client.post(f"{path}/rotate", headers=headers).text
    for action in ("disable", "disable", "enable", "delete"):
        assert app.client.post(f"{path}/{action}", headers=headers).status_code == 303
    assert app.stores.subscriptions.list_by_owner("owner") == []
