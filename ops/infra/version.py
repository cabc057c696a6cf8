"""The version of Darkroom, as ``pyproject.toml`` states it; shown by ``/health``, ``--version`` and ``doctor``."""

import tomllib

from ops.infra.settings import ROOT

VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
