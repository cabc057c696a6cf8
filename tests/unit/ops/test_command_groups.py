"""Translation of errors into messages and exit codes."""

import click
import pytest
from click.testing import CliRunner

from ops.cli.groups import CommandGroup, StartError
from ops.infra.settings import SettingsError
from schemas.errors import Invalid, NotFound, Unavailable


@pytest.mark.parametrize(
    ("error", "exit_code", "message"),
    [
        (SettingsError("PORT: 0 is not a port."), 2, "Error: PORT: 0 is not a port.\n"),
        (StartError("Port 3000 is taken."), 2, "Error: Port 3000 is taken.\n"),
        (Invalid(problems=["First problem.", "Second problem."]), 2, "Error: First problem. Second problem.\n"),
        (NotFound("There is no such key."), 1, "Error: There is no such key.\n"),
        (Unavailable("Redis does not answer."), 1, f"Error: Redis does not answer. (unavailable) {Unavailable.hint}\n"),
    ],
)
def test_errors_become_a_line_and_an_exit_code(error: Exception, exit_code: int, message: str) -> None:
    """Wrong arguments and settings exit with 2, failed operations with 1."""

    @click.group(cls=CommandGroup)
    def group() -> None:
        """A group of commands."""

    @group.command()
    def fail() -> None:
        """A command that fails."""
        raise error

    result = CliRunner().invoke(group, ["fail"])
    assert (result.exit_code, result.stderr.endswith(message)) == (exit_code, True), result.stderr


def test_other_exceptions_are_not_translated() -> None:
    """A bug keeps its traceback."""

    @click.group(cls=CommandGroup)
    def group() -> None:
        """A group of commands."""

    @group.command()
    def fail() -> None:
        """A command that fails."""
        raise ZeroDivisionError

    assert isinstance(CliRunner().invoke(group, ["fail"]).exception, ZeroDivisionError)
