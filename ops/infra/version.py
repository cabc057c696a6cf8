"""The version of Darkroom, read from ``pyproject.toml``."""

import tomllib

from ops.infra.settings import ROOT

VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
