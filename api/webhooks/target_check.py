"""Check of webhook URLs when they are submitted. The dispatcher checks the address again on every delivery."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ops.infra.dns import resolve
from schemas.errors import Invalid, LimitReached
from schemas.http.address_policy import AddressDecision, AddressPolicy, evaluate_addresses
from schemas.http.webhook_url import parse_webhook_url, refusal_reason

# Of one caller at once in this process: name servers that hang would hold up the look-ups of the others.
MAX_LOOKUPS_PER_OWNER = 4
RETRY_AFTER_S = 5
_lookups: Counter[str] = Counter()


@dataclass(frozen=True, slots=True)
class TargetReport:
    """Whether webhooks may be sent to ``url``: ``reason`` says why not, and is empty if they may.

    ``decisions`` has the address, the rule that applies to it and the setting that would allow it, for those who may
    see the operator's network.
    """

    url: str
    reason: str
    decisions: tuple[tuple[str, AddressDecision], ...] = ()


def examine_target(owner: str, url: str, address_policy: AddressPolicy, *, with_addresses: bool) -> TargetReport:
    """Return whether webhooks may be sent to ``url``, and why not; raises LimitReached as ``require_allowed_url``."""
    try:
        target = parse_webhook_url(url)
        with _lookup_of(owner):
            addresses = resolve(target.host, target.port)
    except Invalid as error:
        return TargetReport(url, " ".join(problem.removeprefix("url: ") for problem in error.problems))
    except (OSError, UnicodeError):
        return TargetReport(url, f"{target.host} does not resolve.")
    resolved = evaluate_addresses(addresses, target.port, address_policy)
    return TargetReport(url, refusal_reason(target, resolved), resolved.decisions if with_addresses else ())


def require_allowed_url(owner: str, url: str, address_policy: AddressPolicy, field: str = "url") -> None:
    """Require that webhooks may be sent to ``url`` (SSRF protection).

    Raises:
        Invalid: they may not.
        LimitReached: too many hosts of this owner are being looked up.

    The message does not contain the addresses of the host: they may reveal the operator's network.
    """
    try:
        target = parse_webhook_url(url)
        with _lookup_of(owner):
            addresses = resolve(target.host, target.port)
        resolved = evaluate_addresses(addresses, target.port, address_policy)
    except Invalid as error:
        raise Invalid(problems=[problem.replace("url:", f"{field}:", 1) for problem in error.problems]) from error
    except (OSError, UnicodeError) as error:
        raise Invalid(problems=[f"{field}: {target.host} does not resolve."]) from error
    if reason := refusal_reason(target, resolved):
        explanation = "The operator can see why with './darkroom webhooks check URL'."
        raise Invalid(problems=[f"{field}: {reason} {explanation}"])


@contextmanager
def _lookup_of(owner: str) -> Iterator[None]:
    if _lookups[owner] >= MAX_LOOKUPS_PER_OWNER:
        raise LimitReached(
            f"{MAX_LOOKUPS_PER_OWNER} webhook hosts of this key are being looked up already.",
            retry_after_s=RETRY_AFTER_S,
            policy="lookups",
            limit=MAX_LOOKUPS_PER_OWNER,
        )
    _lookups[owner] += 1
    try:
        yield
    finally:
        _lookups[owner] -= 1
        if not _lookups[owner]:
            del _lookups[owner]
