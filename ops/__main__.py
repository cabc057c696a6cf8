"""Owns ``python -m ops``; the script ``darkroom`` calls it."""

from ops.cli import main

main(prog_name="darkroom")
