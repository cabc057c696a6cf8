"""The command line: which commands there are and where each is found; a command is loaded only when it is called."""

import importlib

import click

from ops.infra.version import VERSION

COMMANDS = {
    "up": ("ops.cli.up:up", "Run everything on this machine until Ctrl-C."),
    "generate": ("ops.cli.generate:generate", "Paint one picture from a prompt and write it to a file."),
    "doctor": ("ops.cli.doctor:doctor", "Look whether this machine has what Darkroom needs."),
    "keys": ("ops.cli.keys:keys", "Make, list, change, rotate and revoke API keys for others."),
    "api-key": ("ops.cli.api_key:api_key", "Show the owner's key, or put a new one in its place."),
    "sites": ("ops.cli.sites:sites", "Show the sites and their circuits; close the circuit of one."),
    "webhooks": ("ops.cli.webhooks:webhooks", "See whether an address may be called for a caller, and why not."),
    "library": ("workers.library.cli.commands:library", "Scan, search, check and export the model library."),
    "bench": ("ops.bench:bench", "Measure Darkroom and a baseline side by side."),
    "chaos": ("ops.chaos.command:chaos", "Kill and cut at random, and prove that nothing is lost or mixed up."),
    "check": ("ops.cli.dev:check", "Lint, types, imports, unit and contract tests: about a minute."),
    "test": ("ops.cli.dev:test", "Lint, types, imports and all tests."),
    "lock": ("ops.cli.dev:lock", "Write the lock files anew from pyproject.toml."),
    "migrate": ("ops.cli.run:migrate", "Bring the database's tables up to date."),
    "web": ("ops.cli.run:web", "Run the HTTP front in the foreground."),
    "worker": ("ops.cli.run:worker", "Run a worker with a browser in the foreground."),
    "courier": ("ops.cli.run:courier", "Run a courier in the foreground."),
    "clock": ("ops.cli.run:clock", "Run the clock in the foreground."),
}


class LazyGroup(click.Group):
    """Commands by name; ``--help`` needs none of them."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """All names, the most used first."""
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """The command, loaded now."""
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in ``--help``, from the table and not from the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup)
@click.version_option(VERSION, prog_name="darkroom")
def main() -> None:
    """Darkroom turns image-generation web pages into a dependable API."""
