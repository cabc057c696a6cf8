"""The tree of service errors."""

import pytest

from schemas.errors import ServiceError, error_classes


@pytest.mark.parametrize("error", error_classes())
def test_every_error_is_complete(error: type[ServiceError]) -> None:
    """Each has a code, a message, a hint and an HTTP error status."""
    instance = error()

    assert instance.code.replace("_", "").isalpha()
    assert instance.message.endswith(".")
    assert instance.hint.endswith(".")
    assert 400 <= instance.status < 600


def test_no_code_is_defined_twice_by_accident() -> None:
    """Only "expired" has two meanings: a deleted result, and a job that waited too long."""
    codes = [error.code for error in error_classes() if "code" in vars(error)]

    assert sorted({code for code in codes if codes.count(code) > 1}) == ["expired"]
