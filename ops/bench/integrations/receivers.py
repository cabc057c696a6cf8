"""The benchmark ``receivers``: the delay of deliveries to a good webhook receiver next to each hostile one.

Both get the same deliveries in two bursts: during the second one, calls of the first to the hostile receiver still
run, on the same event loop as those to the good one.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from ops.bench.integrations.webhooks import add_events, await_arrivals, run_receiver, subscribe
from ops.bench.report import Row
from ops.testbed.hostile_receivers import HTTP_RECEIVERS, TLS_RECEIVERS, run_hostile_receivers
from ops.testbed.stack import Stack, run_stack
from ops.testbed.statistics import percentile
from schemas.accounts.caller import OWNER

MAX_P99_S = 2.0


@dataclass(frozen=True, slots=True)
class Size:
    """The hostile receivers, and the deliveries of each of the two bursts."""

    names: tuple[str, ...]
    deliveries: int


FULL = Size(names=(*HTTP_RECEIVERS, *TLS_RECEIVERS), deliveries=100)
SMOKE = Size(names=("endless_continue", "says_nothing"), deliveries=10)


def measure(size: Size) -> Iterator[Row]:
    """Measure the good receiver alone, and then beside each hostile one."""
    with (
        run_stack("background", EGRESS_ALLOW="127.0.0.0/8") as stack,
        run_receiver() as good,
        run_hostile_receivers(*size.names) as hostile_urls,
    ):
        subscribe(stack, f"{good}/hook")
        # The first deliveries open the connections.
        _delays_s(stack, good, size.deliveries)
        alone = percentile(_delays_s(stack, good, size.deliveries), 99)
        yield Row("alone, p99", alone, "s")
        for name in size.names:
            hostile = subscribe(stack, hostile_urls[name])
            delays = _delays_s(stack, good, size.deliveries)
            delays += _delays_s(stack, good, size.deliveries)
            stack.stores.subscriptions.delete(OWNER, hostile)
            stack.stores.deliveries.fail_pending(hostile, "The webhook was deleted.")
            yield Row(f"beside {name}, p99", percentile(delays, 99), "s", alone, max_value=MAX_P99_S)


def _delays_s(stack: Stack, url: str, count: int) -> list[float]:
    started_at = time.time()
    add_events(stack, count)
    return [arrived_at - started_at for arrived_at in await_arrivals(url, count)]
