"""The jobs of an agent's calls, in Redis."""

from ops.infra.redis import connect
from ops.infra.settings import Settings
from stores.accounts.agent_calls import AgentCalls


def test_a_call_is_found_by_owner_session_and_id(settings: Settings) -> None:
    """Another owner, session or type of id is another call; an answered call is forgotten."""
    calls = AgentCalls(connect(settings.redis_url))

    assert not calls.remember("owner", "s", 1, "a" * 32)
    for other in (("bob", "s", 1), ("owner", "t", 1), ("owner", "s", "1"), ("owner", "s", 2)):
        assert calls.cancel(*other) is None
    assert "a" * 32 == calls.cancel("owner", "s", 1)
    assert calls.cancel("owner", "s", 1) is None
    assert not calls.remember("owner", "s", 3, "b" * 32)
    calls.forget("owner", "s", 3)
    assert calls.cancel("owner", "s", 3) is None


def test_a_cancellation_may_come_before_its_call(settings: Settings) -> None:
    """The call learns of it when it is remembered, once."""
    calls = AgentCalls(connect(settings.redis_url))

    assert calls.cancel("owner", "s", "x") is None
    assert calls.remember("owner", "s", "x", "a" * 32)
    assert not calls.remember("owner", "s", "x", "a" * 32)
