"""Options that clients set once."""

from stores.compat.client_options import ClientOptions
from tests.contract.conftest import RedisStores


def test_options_are_kept_for_each_caller(stores: RedisStores) -> None:
    """None removes one, and others stay."""
    options = ClientOptions(stores.redis)
    assert options.read("alice") == {}

    options.change("alice", {"model": "studio", "vae": "x"})
    options.change("alice", {"vae": None, "skip": "2"})
    options.change("bob", {"model": None})

    assert options.read("alice") == {"model": "studio", "skip": "2"}
    assert options.read("bob") == {}
