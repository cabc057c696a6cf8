"""The entry point of the kit: ``python -m workers.sites.cli check studio``."""

from workers.sites.cli.commands import kit

if __name__ == "__main__":
    kit(prog_name="darkroom sites")
