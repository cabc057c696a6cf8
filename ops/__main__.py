"""``python -m ops``; the script ``darkroom`` calls it."""

from ops.cli.main import main

main(prog_name="darkroom")
