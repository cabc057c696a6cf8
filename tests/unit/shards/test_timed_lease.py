"""The lease of the process that divides limits, while the database hangs."""

import threading
from collections.abc import Iterator

import pytest

from schemas.errors import Unavailable
from tests.conftest import eventually
from workers.clock.timed_lease import TimedLease


class HangingLease:
    """A lease whose calls return once they may."""

    def __init__(self) -> None:
        self.may_return = threading.Event()
        self.calls: list[str] = []
        self.error: Exception | None = None

    def acquire(self) -> bool:
        """Wait, and acquire it."""
        self.calls.append("acquire")
        self.may_return.wait()
        if self.error:
            raise self.error
        return True

    def release(self) -> None:
        """Wait, and release it."""
        self.calls.append("release")
        self.may_return.wait()


@pytest.fixture
def hanging() -> Iterator[HangingLease]:
    """A lease that hangs until the end of the test."""
    lease = HangingLease()
    yield lease
    lease.may_return.set()


def acquire(lease: TimedLease) -> bool:
    """Whether the lease is held; False if there is no answer."""
    try:
        return lease.acquire()
    except Unavailable:
        return False


def test_a_database_that_hangs_counts_as_unavailable(hanging: HangingLease) -> None:
    """It is asked once until it answers; then the answer counts."""
    lease = TimedLease(hanging, limit_s=0.01)
    for _ in range(3):
        with pytest.raises(Unavailable, match="not answered yet"):
            lease.acquire()
    lease.release()
    assert hanging.calls == ["acquire"]

    hanging.may_return.set()
    eventually(lambda: acquire(lease))
    assert hanging.calls == ["acquire"]


def test_an_error_of_the_database_is_raised(hanging: HangingLease) -> None:
    """The next call asks again. The end of the process waits for no hanging release."""
    hanging.error = Unavailable("no database")
    hanging.may_return.set()
    lease = TimedLease(hanging)
    with pytest.raises(Unavailable, match="no database"):
        lease.acquire()
    hanging.error = None
    assert lease.acquire()

    hanging.may_return.clear()
    TimedLease(hanging, limit_s=0.01).release()
    assert hanging.calls == ["acquire", "acquire", "release"]
