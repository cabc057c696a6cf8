"""Owns the entry point of the kit: ``python -m workers.kit check studio``."""

from workers.kit.commands import kit

if __name__ == "__main__":
    kit(prog_name="darkroom sites")
