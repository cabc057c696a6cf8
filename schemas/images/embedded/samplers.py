"""Names that hold a sampler and a schedule of its noise at once, as programs wrote them before they had two. Pure."""

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
COMBINED = re.compile(r"(.+?)[ _](" + "|".join(SCHEDULES) + ")", re.IGNORECASE)


def split_sampler(name: str) -> tuple[str, str | None]:
    """Sampler and schedule, of which the second may not be named."""
    found = COMBINED.fullmatch(name[:200].strip())
    return (found[1], found[2]) if found else (name, None)
