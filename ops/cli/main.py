"""The command line: the table of commands."""

import click

from ops.cli.groups import LazyGroup
from ops.infra.version import VERSION

COMMANDS = {
    "up": "ops.cli.processes.up:up",
    "generate": "ops.cli.generate:generate",
    "mcp": "ops.cli.processes.mcp:mcp",
    "doctor": "ops.cli.doctor:doctor",
    "keys": "ops.cli.keys:keys",
    "api-key": "ops.cli.api_key:api_key",
    "fleet": "ops.cli.processes.fleet:fleet",
    "sites": "ops.cli.sites:sites",
    "webhooks": "ops.cli.webhooks:webhooks",
    "library": "workers.library.cli.commands:library",
    "gallery": "ops.cli.gallery:gallery",
    "backup": "ops.cli.backup:backup",
    "restore": "ops.cli.backup:restore",
    "bench": "ops.bench.command:bench",
    "chaos": "ops.chaos.command:chaos",
    "check": "ops.cli.dev:check",
    "test": "ops.cli.dev:test",
    "lock": "ops.cli.dev:lock",
    "migrate": "ops.cli.processes.migrate:migrate",
    "web": "ops.cli.processes.web:web",
    "worker": "ops.cli.processes.roles:worker",
    "background": "ops.cli.processes.roles:background",
    "clock": "ops.cli.processes.roles:clock",
}
# Old names, accepted for one release.
ALIASES = {"courier": "background"}


@click.group(cls=LazyGroup, targets=COMMANDS, aliases=ALIASES)
@click.version_option(VERSION, prog_name="darkroom")
def main() -> None:
    """Darkroom turns image-generation web pages into a dependable API."""
