"""An S3 server on this machine: ``rclone serve s3``, which checks signatures and their expiry as a cloud does."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ops.processes.web_command import free_port
from tests.conftest import answers_http, eventually

BUCKET, ACCESS_KEY, SECRET = "pictures", "access-key", "secret-key"


@dataclass(frozen=True)
class S3Server:
    """The address of a server, the variables that give access to it, and the folder of its only bucket."""

    endpoint: str
    folder: Path

    @property
    def media_url(self) -> str:
        """The media store in the bucket."""
        return f"s3://{BUCKET}/darkroom"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the vendor's own programs read."""
        return {
            "AWS_ENDPOINT": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }


@contextmanager
def serve_s3(folder: Path) -> Iterator[S3Server]:
    """Run a server whose objects are files below ``folder``."""
    (folder / BUCKET).mkdir(parents=True)
    address = f"127.0.0.1:{free_port()}"
    command = [str(Path(sys.executable).parent / "rclone"), "serve", "s3", "--addr", address]
    command += ["--auth-key", f"{ACCESS_KEY},{SECRET}", "--vfs-cache-mode", "off", str(folder)]
    environment = {"HOME": str(folder), "PATH": os.defpath, "RCLONE_CONFIG": str(folder / "none")}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: answers_http(f"http://{address}"))
        yield S3Server(f"http://{address}", folder / BUCKET)
    finally:
        process.terminate()
        process.wait()
