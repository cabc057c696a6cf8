"""The command ``keys change``."""

from click.testing import CliRunner, Result

from ops.cli.keys import keys
from ops.infra.redis import connect
from ops.infra.settings import Settings


def run(settings: Settings, *arguments: str, redis_url: str | None = None) -> Result:
    """Run a command with settings."""
    values = {"DATA_DIR": str(settings.data_dir), "DATABASE_URL": settings.database_url}
    return CliRunner().invoke(keys, arguments, env=values | {"REDIS_URL": redis_url or settings.redis_url})


def test_new_limits_hold_for_waiting_jobs(settings: Settings) -> None:
    """Without Redis the key is changed too, and the command says from when on its waiting jobs notice."""
    key_id = run(settings, "create", "--name", "bob").stdout.split("_")[1]
    client = connect(settings.redis_url)

    changed = run(settings, "change", key_id, "--limits", "concurrent=3")
    assert (changed.exit_code, changed.output, client.get(f"dr:most:{key_id}")) == (0, "", b"3")
    assert run(settings, "rotate", key_id, "--limits", "concurrent=unlimited").exit_code == 0
    assert client.get(f"dr:most:{key_id}") is None
    client.close()

    apart = run(settings, "change", key_id, "--limits", "concurrent=4", redis_url="redis://127.0.0.1:1/0")
    assert (apart.exit_code, "from its next submission on" in apart.stderr) == (0, True)
    assert "concurrent=4" in run(settings, "list").stdout
