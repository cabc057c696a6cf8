"""The Webhooks section: subscriptions, their deliveries with attempts, and whether an address may be called."""

import json
import secrets
from typing import Any

from flask import Response, request
from werkzeug.wrappers import Response as BaseResponse

from api.console.forms import field_text, go_back, go_to, require_scope
from api.console.page import render, section_blueprint
from api.console.sections import WEBHOOKS
from api.console.text_filters import add_text_filters
from api.http.context import caller, stores
from api.webhooks.target_check import TargetReport, examine_target, require_allowed_url
from schemas.accounts.caller import Scope
from schemas.errors import Conflict, Invalid, NotFound, ServiceError
from schemas.jobs.event_payloads import webhook_payload
from schemas.paging import Cursor
from schemas.webhooks.subscriptions import (
    FINAL_EVENTS,
    SUBSCRIBABLE_EVENTS,
    WEBHOOK_TEST_EVENT,
    DeliveryState,
    NewDelivery,
    Subscription,
)

PAGE_SIZE = 50
MAX_URL_CHARS = 2000
DAY_MS = 86_400_000
FAILED_SINCE_DAYS = 30
ACTIONS = ("test", "rotate", "enable", "disable", "delete")

blueprint = section_blueprint("webhooks")
add_text_filters(blueprint)


@blueprint.route(WEBHOOKS.path)
def overview() -> Response:
    """Show the caller's webhooks and the latest deliveries. ``check`` is an address to examine."""
    return _overview_page()


@blueprint.route(WEBHOOKS.path, methods=["POST"])
def create() -> Response:
    """Subscribe a URL to events, and show the secret, once."""
    require_scope(Scope.GENERATE)
    try:
        fields = _subscription_fields()
        require_allowed_url(caller().id, fields["url"], stores().address_policy)
        subscription = stores().subscriptions.create(caller().id, fields["url"], fields)
    except (Invalid, Conflict) as error:
        return _overview_page(problem=error)
    return _secret_page(subscription)


@blueprint.route(f"{WEBHOOKS.path}/<webhook_id>")
def detail(webhook_id: str) -> Response:
    """Show a webhook with its deliveries; ``state`` filters them."""
    return _detail_page(stores().subscriptions.get(caller().id, webhook_id))


@blueprint.route(f"{WEBHOOKS.path}/<webhook_id>", methods=["POST"])
def change(webhook_id: str) -> BaseResponse:
    """Change the address, events or description; pending deliveries go to the new address."""
    require_scope(Scope.GENERATE)
    subscription = stores().subscriptions.get(caller().id, webhook_id)
    try:
        fields = _subscription_fields()
        require_allowed_url(caller().id, fields["url"], stores().address_policy)
    except Invalid as error:
        return _detail_page(subscription, problem=error)
    changed = stores().subscriptions.update(caller().id, webhook_id, fields)
    stores().deliveries.redirect_pending(webhook_id, caller().id, changed.url)
    return go_to(f"{WEBHOOKS.path}/{webhook_id}", done="Changed.")


@blueprint.route(f"{WEBHOOKS.path}/<webhook_id>/<action>", methods=["POST"])
def act(webhook_id: str, action: str) -> BaseResponse:
    """Send a test, make a new secret, disable, enable or delete a webhook."""
    require_scope(Scope.GENERATE)
    owner = caller().id
    subscription = stores().subscriptions.get(owner, webhook_id)
    if action not in ACTIONS:
        raise NotFound(f"There is no action {action[:40]!r}.")
    if action == "rotate":
        return _secret_page(stores().subscriptions.rotate_secret(owner, webhook_id))
    if action == "delete":
        stores().subscriptions.delete(owner, webhook_id)
        stores().deliveries.fail_pending(webhook_id, "The webhook was removed.")
        return go_to(WEBHOOKS.path, done="The webhook is deleted.")
    if action == "test":
        _send_test(subscription)
    elif action == "enable":
        stores().subscriptions.enable(owner, webhook_id)
    elif subscription.disabled_at is None:
        stores().subscriptions.disable(owner, webhook_id, "you")
        stores().deliveries.fail_pending(webhook_id, "The webhook was disabled.")
    words = {"test": "A test delivery is being sent.", "enable": "The webhook receives events from now on."}
    return go_to(f"{WEBHOOKS.path}/{webhook_id}", done=words.get(action, "The webhook receives no more events."))


@blueprint.route(f"{WEBHOOKS.path}/deliveries/<delivery_id>")
def delivery(delivery_id: str) -> Response:
    """Show a delivery with its attempts and its body."""
    found = stores().deliveries.get(caller().id, delivery_id)
    try:
        body = json.dumps(json.loads(found.body), indent=2, ensure_ascii=False)
    except ValueError:
        body = found.body
    return render(
        "webhooks/delivery.html",
        section=WEBHOOKS,
        title=f"{found.type} delivery",
        delivery=found,
        attempts=stores().deliveries.list_attempts(found.id),
        body=body,
        # A caller may have named an address inside the operator's network, so only admins see what it responded.
        shows_excerpts=caller().has_scope(Scope.ADMIN),
        done=request.args.get("done"),
    )


@blueprint.route(f"{WEBHOOKS.path}/deliveries/<delivery_id>/redeliver", methods=["POST"])
def redeliver(delivery_id: str) -> BaseResponse:
    """Send a delivery again."""
    require_scope(Scope.GENERATE)
    stores().deliveries.redeliver(caller().id, delivery_id)
    stores().outbox.wake_dispatchers()
    return go_back(WEBHOOKS.path)


@blueprint.route(f"{WEBHOOKS.path}/redeliver", methods=["POST"])
def redeliver_failed() -> BaseResponse:
    """Send again all that failed in the last month, of one webhook or of all."""
    require_scope(Scope.GENERATE)
    since_ms = stores().clock.now_ms() - FAILED_SINCE_DAYS * DAY_MS
    webhook_id = request.form.get("webhook") or None
    count = stores().deliveries.redeliver_failed(caller().id, since_ms, webhook_id)
    stores().outbox.wake_dispatchers()
    path = f"{WEBHOOKS.path}/{stores().subscriptions.get(caller().id, webhook_id).id}" if webhook_id else WEBHOOKS.path
    return go_to(path, done=f"{count} {'delivery is' if count == 1 else 'deliveries are'} sent again.")


def _send_test(subscription: Subscription) -> None:
    body = json.dumps(webhook_payload(WEBHOOK_TEST_EVENT, stores().clock.now_ms(), {"webhookId": subscription.id}))
    new = NewDelivery(
        f"msg_{secrets.token_hex(16)}", subscription.owner, subscription.url, WEBHOOK_TEST_EVENT, body, subscription.id
    )
    stores().deliveries.add([new])
    stores().outbox.wake_dispatchers()


def _overview_page(problem: ServiceError | None = None) -> Response:
    checked = request.args.get("check", "").strip()[:MAX_URL_CHARS]
    return render(
        "webhooks/index.html",
        section=WEBHOOKS,
        title=WEBHOOKS.title,
        status=problem.status if problem else 200,
        webhooks=stores().subscriptions.list_by_owner(caller().id),
        form=_form_values() if problem else {"url": "", "description": "", "types": FINAL_EVENTS},
        types=SUBSCRIBABLE_EVENTS,
        problem=problem,
        checked=checked,
        report=_examine(checked) if checked else None,
        done=request.args.get("done"),
        **_deliveries({}),
    )


def _detail_page(subscription: Subscription, problem: ServiceError | None = None) -> Response:
    shown = {"url": subscription.url, "description": subscription.description, "types": subscription.types}
    return render(
        "webhooks/detail.html",
        section=WEBHOOKS,
        title=subscription.description or subscription.url,
        status=problem.status if problem else 200,
        webhook=subscription,
        form=_form_values() if problem else shown,
        types=SUBSCRIBABLE_EVENTS,
        problem=problem,
        done=request.args.get("done"),
        **_deliveries({"webhook": subscription.id}),
    )


def _secret_page(subscription: Subscription) -> Response:
    return render("webhooks/secret.html", section=WEBHOOKS, title="The secret", webhook=subscription)


def _deliveries(filters: dict[str, str]) -> dict[str, Any]:
    state = request.args.get("state", "")
    if state in list(DeliveryState):
        filters = {**filters, "state": state}
    token = request.args.get("cursor")
    cursor = Cursor.decode(token) if token else None
    page, following = stores().deliveries.page(caller().id, filters, cursor, PAGE_SIZE)
    return {
        "deliveries": page,
        "next_cursor": following.encode() if following else None,
        "state": state,
        "here": request.full_path.removesuffix("?"),
    }


def _examine(url: str) -> TargetReport:
    """Return whether webhooks may call an address; only admins see what its host resolves to."""
    return examine_target(caller().id, url, stores().address_policy, with_addresses=caller().has_scope(Scope.ADMIN))


def _subscription_fields() -> dict[str, Any]:
    types = [kind for kind in SUBSCRIBABLE_EVENTS if request.form.get(f"type_{kind}")]
    if not types:
        raise Invalid(problems=["types: Choose at least one event."])
    return {
        "url": field_text("url", required=True, max_chars=MAX_URL_CHARS),
        "description": field_text("description", max_chars=200),
        "types": types,
    }


def _form_values() -> dict[str, Any]:
    types = [kind for kind in SUBSCRIBABLE_EVENTS if request.form.get(f"type_{kind}")]
    return {"url": request.form.get("url", ""), "description": request.form.get("description", ""), "types": types}
