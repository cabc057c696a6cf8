"""The tree of errors."""

import pytest

from schemas.errors import ServiceError, error_classes


@pytest.mark.parametrize("error", error_classes())
def test_every_error_speaks_for_itself(error: type[ServiceError]) -> None:
    """Each has a code of its own kind, a sentence and a hint."""
    made = error()

    assert made.code.replace("_", "").isalpha()
    assert made.message.endswith(".")
    assert made.hint.endswith(".")
    assert 400 <= made.status < 600


def test_codes_do_not_repeat_by_accident() -> None:
    """Only 'expired' is said of two things: a picture that is gone and a job that waited too long."""
    codes = [error.code for error in error_classes()]

    assert sorted({code for code in codes if codes.count(code) > 1}) == ["expired"]
