"""The commands about the model library; what they do is started by name, in this process's place."""

import os
import sys

import click

from ops.infra.settings import ROOT

PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
VERBS = {
    "scan": "Compare the library with the disk now.",
    "watch": "Follow what happens to the library, and look after it where nobody else does.",
    "list": "Find models: words and filters, such as base:sdxl -tag:style dim:>=32.",
    "show": "Print all that is known of a model.",
    "verify": "Read files again and compare them with their hashes.",
    "export": "Write what is known of models as the files of another program.",
    "import": "Read the files of other programs that lie elsewhere.",
    "backup": "Write what people have written, and the pictures that they gave, into one file.",
    "restore": "Take back what a backup holds.",
}


@click.group()
def library() -> None:
    """Scan, search, check and export the model library in the folders of MODELS_DIR."""


def _passed_on(verb: str, help_line: str) -> click.Command:
    @click.command(name=verb, context_settings=PASS_ON, help=help_line)
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def run(words: tuple[str, ...]) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        # In this one's place: signals and the exit code are the command's own.
        command = [sys.executable, "-m", "workers.library", verb, *words]
        os.execve(sys.executable, command, environment)  # noqa: S606 - no shell is wanted

    return run


for name, line in VERBS.items():
    library.add_command(_passed_on(name, line))
