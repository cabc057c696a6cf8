"""What is known of the model file that a sidecar lies beside. Made by ``workers.library`` for reader and writer.

A catalogue's answer names many files: this tells which of them ours is. Some formats also want to hold it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

# As the downloader civitdl calls its files: the catalogue's name, the model's id, the version's id.
CIVITDL_STEM = re.compile(r"(.*)-mid_(\d{1,18})-vid_(\d{1,18})", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A model file. ``version_id`` is the catalogue's, where it is known from elsewhere than the name.

    ``name`` has its ending; ``hashes`` are our own, by their names in ``schemas.library.formats.hashes``; ``time_ms``
    is when the file was written, in milliseconds since 1970. Each is empty where it is not known.
    """

    name: str = ""
    size_bytes: int = 0
    hashes: Mapping[str, str] = field(default_factory=dict)
    known_version_id: int | None = None
    time_ms: int = 0

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return self.name.rpartition(".")[0] or self.name

    @property
    def civitai_name(self) -> str:
        """The name that the catalogue has given it, as far as the name tells."""
        found = CIVITDL_STEM.fullmatch(self.stem)
        return found[1] + self.name[len(self.stem) :] if found else self.name

    @property
    def civitai_version_id(self) -> int | None:
        """The catalogue's id of its version, as far as it is known."""
        found = CIVITDL_STEM.fullmatch(self.stem)
        return self.known_version_id or (int(found[3]) or None if found else None)


UNKNOWN_FILE = LocalFile()
