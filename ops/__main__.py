"""The entry point ``python -m ops``, called by the script ``darkroom``."""

from ops.cli.main import main
from ops.processes.init_process import run_below_init

run_below_init()
main(prog_name="darkroom")
