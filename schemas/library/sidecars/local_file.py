"""The model file that a sidecar belongs to.

Civitai's responses list many files; readers use this to tell which one is local, and some formats repeat its details.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

# The downloader civitdl names files by Civitai's name, the model's id and the version's id.
CIVITDL_STEM = re.compile(r"(.{0,255})-mid_(\d{1,18})-vid_(\d{1,18})", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A model file; fields are empty where unknown.

    ``name`` includes the extension. ``hashes`` are computed, by algorithm as in ``schemas.library.formats.hashes``.
    ``known_version_id`` is Civitai's id if something other than the name tells it. ``time_ms`` is the modification time
    in milliseconds since 1970.
    """

    name: str = ""
    size_bytes: int = 0
    hashes: Mapping[str, str] = field(default_factory=dict)
    known_version_id: int | None = None
    time_ms: int = 0

    @property
    def stem(self) -> str:
        """The name without its extension."""
        return self.name.rpartition(".")[0] or self.name

    @property
    def civitai_name(self) -> str:
        """The name at Civitai: the name without the ids that civitdl adds."""
        match = CIVITDL_STEM.fullmatch(self.stem)
        return match[1] + self.name[len(self.stem) :] if match else self.name

    @property
    def civitai_version_id(self) -> int | None:
        """Civitai's id of the version, if known."""
        match = CIVITDL_STEM.fullmatch(self.stem)
        return self.known_version_id or (int(match[3]) or None if match else None)


UNKNOWN_FILE = LocalFile()
