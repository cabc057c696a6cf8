"""The Lua scripts use the keys that ``stores.redis.keys`` names."""

import inspect
import re

from stores.redis import keys
from stores.redis.scripts import LUA_FOLDER


def test_lua_scripts_use_only_keys_that_the_module_names() -> None:
    """A key is compared without its variable parts."""
    literals = {
        literal.rstrip(":{")
        for path in LUA_FOLDER.rglob("*.lua")
        for literal in re.findall(r"'(dr:[a-z:]*\{?)", path.read_text())
    }
    named = {name.rstrip(":{") for name in re.findall(r"dr:[a-z:]*\{*", inspect.getsource(keys))}

    assert literals
    assert literals <= named
