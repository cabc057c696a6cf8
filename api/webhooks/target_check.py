"""The first look at an address that a caller wants to be called; it is looked at again before each call."""

from ops.infra.dns import resolve
from schemas.errors import Invalid
from schemas.http.address_policy import AddressPolicy, evaluate_addresses
from schemas.http.webhook_url import parse_webhook_url, refusal_reason


def require_allowed_url(url: str, address_policy: AddressPolicy, field: str = "url") -> None:
    """Let only addresses pass that may be called.

    Raises:
        Invalid: it may not; where its host leads to is not told, for that is the operator's business.
    """
    try:
        target = parse_webhook_url(url)
        looked = evaluate_addresses(resolve(target.host, target.port), target.port, address_policy)
    except Invalid as error:
        raise Invalid(problems=[problem.replace("url:", f"{field}:", 1) for problem in error.problems]) from error
    except (OSError, UnicodeError) as error:
        raise Invalid(problems=[f"{field}: {target.host} does not resolve."]) from error
    if reason := refusal_reason(target, looked):
        why = "The operator sees why with './darkroom webhooks check URL'."
        raise Invalid(problems=[f"{field}: {reason} {why}"])
