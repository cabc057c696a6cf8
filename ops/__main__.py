"""The entry point ``python -m ops``, called by the script ``darkroom``."""

from ops.cli.main import main
from ops.infra.files.environment_lock import share_environment
from ops.processes.init_process import run_below_init

share_environment()
run_below_init()
main(prog_name="darkroom")
