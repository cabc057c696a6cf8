"""The garbage collector while code is loaded."""

import gc

import pytest

from ops.processes.code_loading import paused_collections


def test_collections_go_on_after_code_is_loaded() -> None:
    """Also after code that fails."""
    with paused_collections():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), paused_collections():
        raise ImportError
    assert gc.isenabled()
