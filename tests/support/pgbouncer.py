"""A real PgBouncer in transaction mode in front of the PostgreSQL server of the tests."""

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import create_engine, text

from ops.processes.web_command import free_port
from tests.conftest import eventually
from tests.support.debian_programs import find_program, program_environment

CONFIGURATION = """
[databases]
* = host={host} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
{user}
"""


@contextmanager
def serve_pooled(postgresql: str, folder: Path) -> Iterator[str]:
    """Yield the URL of a new, empty database behind PgBouncer."""
    program = find_program("pgbouncer", "pgbouncer", "libevent-2.1-7", "libevent-2.1-7t64", "libc-ares2", "libcares2")
    name = f"pooled_{free_port()}"
    host, port = parse_qs(urlsplit(postgresql).query)["host"][0], free_port()
    # Root may not run it, and only the server's own user may use its socket.
    user = f"user = {pwd.getpwuid(Path(host).stat().st_uid).pw_name}" if os.geteuid() == 0 else ""
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(CONFIGURATION.format(host=host, port=port, user=user))
    server = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    process = subprocess.Popen([program, "-q", configuration], env=program_environment())
    url = f"postgresql+psycopg://darkroom@127.0.0.1:{port}/{name}"
    try:
        eventually(lambda: _answers(url))
        yield url
    finally:
        process.terminate()
        process.wait()
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        server.dispose()


def _answers(url: str) -> bool:
    engine = create_engine(url)
    try:
        with engine.connect():
            return True
    except Exception:  # noqa: BLE001 - it is asked again until it answers
        return False
    finally:
        engine.dispose()
