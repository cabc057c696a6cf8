"""Click groups: commands that are imported on use, and one translation of errors into messages and exit codes."""

import ast
import errno
import importlib
import os
from collections.abc import Mapping
from typing import Any

import click

from ops.infra.browser_install import BrowserNotFoundError
from ops.infra.setting_parsers import UnreachableError
from ops.infra.settings import ROOT, SettingsError
from ops.processes.code_loading import paused_collections
from ops.processes.instance_file import AlreadyRunningError
from schemas.errors import Invalid, ServiceError

FIRST_INFRASTRUCTURE_STATUS = 500


class StartError(Exception):
    """A process cannot start; the message is one line that says why."""


class ConfigurationError(click.ClickException):
    """A setting or this machine prevents a command; the exit code tells it from a failed operation."""

    exit_code = 2


class CommandGroup(click.Group):
    """A group whose commands raise the project's errors: they become one line on stderr and an exit code.

    Exit code 2: the arguments or a setting are wrong. Exit code 1: the operation failed.
    """

    def invoke(self, context: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(context)
        except (SettingsError, BrowserNotFoundError, AlreadyRunningError, StartError) as error:
            raise ConfigurationError(str(error)) from error
        except UnreachableError as error:
            raise click.ClickException(f"{error.setting}: the server does not answer: {error}.") from error
        except Invalid as error:
            raise click.UsageError(" ".join(error.problems)) from error
        except ServiceError as error:
            # Hints of client errors are about HTTP requests; those of site and server errors help here too.
            hint = f" ({error.code}) {error.hint}" if error.status >= FIRST_INFRASTRUCTURE_STATUS else ""
            raise click.ClickException(str(error) + hint) from error
        except OSError as error:
            # A closed pipe is the business of click.
            if error.errno == errno.EPIPE:
                raise
            where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
            raise click.ClickException(f"{where}{error.strerror or error}.") from error


class LazyGroup(CommandGroup):
    """A group of commands that are named as ``module:function`` and imported only when they are run.

    ``--help`` takes the help lines from the docstrings in the source files: importing every command would load Flask,
    Playwright and Dramatiq, which takes ten times as long as all the rest.
    """

    def __init__(self, *args: Any, targets: Mapping[str, str], aliases: Mapping[str, str], **options: Any) -> None:
        """``aliases`` are old names of commands, which still work and are not listed."""
        super().__init__(*args, **options)
        self.targets = targets
        self.aliases = aliases

    def list_commands(self, _context: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self.targets)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """Import a command."""
        target = self.targets.get(self.aliases.get(name, name))
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        with paused_collections():
            command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line(target)) for name, target in self.targets.items()])


def help_line(target: str) -> str:
    """Return the first line of a command's docstring, read from its source file."""
    module, _, attribute = target.partition(":")
    path = ROOT.joinpath(*module.split("."))
    source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    function = next(
        node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == attribute
    )
    return (ast.get_docstring(function) or "").partition("\n")[0]
