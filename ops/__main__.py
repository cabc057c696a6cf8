"""The entry point ``python -m ops``, called by the script ``darkroom``."""

from ops.cli.main import main

main(prog_name="darkroom")
