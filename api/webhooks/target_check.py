"""Check of webhook URLs when they are submitted. The dispatcher checks the address again on every delivery."""

from ops.infra.dns import resolve
from schemas.errors import Invalid
from schemas.http.address_policy import AddressPolicy, evaluate_addresses
from schemas.http.webhook_url import parse_webhook_url, refusal_reason


def require_allowed_url(url: str, address_policy: AddressPolicy, field: str = "url") -> None:
    """Raise Invalid unless webhooks may be sent to ``url`` (SSRF protection).

    The message does not contain the addresses of the host: they may reveal the operator's network.
    """
    try:
        target = parse_webhook_url(url)
        resolved = evaluate_addresses(resolve(target.host, target.port), target.port, address_policy)
    except Invalid as error:
        raise Invalid(problems=[problem.replace("url:", f"{field}:", 1) for problem in error.problems]) from error
    except (OSError, UnicodeError) as error:
        raise Invalid(problems=[f"{field}: {target.host} does not resolve."]) from error
    if reason := refusal_reason(target, resolved):
        explanation = "The operator can see why with './darkroom webhooks check URL'."
        raise Invalid(problems=[f"{field}: {reason} {explanation}"])
