"""Names of samplers: those that clients of AUTOMATIC1111 send, matched with those that a site offers."""

import re
from collections.abc import Mapping, Sequence

from schemas.images.embedded.samplers import split_sampler

# The values that clients send for "the program's own choice".
AUTOMATIC = "Automatic"
UNSPECIFIED = frozenset({"", "automatic", "use same sampler", "use same scheduler", "none"})
# Names of AUTOMATIC1111 without marks, with the names that ComfyUI and other programs based on k-diffusion use.
PROGRAM_NAMES: Mapping[str, str] = {
    "eulera": "euler_ancestral",
    "euler": "euler",
    "lms": "lms",
    "heun": "heun",
    "dpm2": "dpm_2",
    "dpm2a": "dpm_2_ancestral",
    "dpm++2sa": "dpmpp_2s_ancestral",
    "dpm++2m": "dpmpp_2m",
    "dpm++sde": "dpmpp_sde",
    "dpm++2msde": "dpmpp_2m_sde",
    "dpm++3msde": "dpmpp_3m_sde",
    "dpmfast": "dpm_fast",
    "dpmadaptive": "dpm_adaptive",
    "ddim": "ddim",
    "unipc": "uni_pc",
    "lcm": "lcm",
    "ddpm": "ddpm",
}
MARKS = re.compile(r"[\s_\-]+")


def is_unspecified(name: str | None) -> bool:
    """Whether a client leaves the choice to the program."""
    return (name or "").strip().lower() in UNSPECIFIED


def match_choice(name: str, choices: Sequence[str]) -> str | None:
    """Return the site's own spelling of a choice; None if the site does not offer it."""
    spellings = {_normalize(choice): choice for choice in reversed(choices)}
    plain = _normalize(name)
    candidates = (plain, _normalize(PROGRAM_NAMES.get(plain, "")))
    return next((spellings[candidate] for candidate in candidates if candidate in spellings), None)


def program_name(name: str) -> str:
    """Return the name of a sampler for a program that names them as k-diffusion does; others are unchanged."""
    return PROGRAM_NAMES.get(_normalize(name), name)


def split_schedule(name: str, choices: Sequence[str]) -> tuple[str, str | None]:
    """Return sampler and schedule of a name such as ``DPM++ 2M Karras``, unless the site offers it as one."""
    return (name, None) if match_choice(name, choices) else split_sampler(name)


def _normalize(name: str) -> str:
    return MARKS.sub("", name).lower()
