"""Splits names that combine a sampler and a noise schedule, as programs wrote them before they separated the two."""

import re

SCHEDULES = (
    "Karras",
    "Polyexponential",
    "Exponential",
    "SGM Uniform",
    "SGMUniform",
    "SGM_Uniform",
    "DDIM_Uniform",
    "Uniform",
    "Align Your Steps",
    "KL Optimal",
    "Turbo",
    "Simple",
    "Normal",
    "Beta",
)
COMBINED_NAME = re.compile(r"(.{1,200}?)[ _](" + "|".join(SCHEDULES) + ")", re.IGNORECASE)


def split_sampler(name: str) -> tuple[str, str | None]:
    """Return the sampler and the schedule; the schedule is None if the name has none."""
    match = COMBINED_NAME.fullmatch(name[:200].strip())
    return (match[1], match[2]) if match else (name, None)
