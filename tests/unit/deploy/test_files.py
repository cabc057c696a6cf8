"""The files of ``ops/deploy`` agree with the settings, the Procfile and each other."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.infra.settings import ROOT, Settings, load_settings
from ops.processes.stopping.stop_limit import HEROKU_STOP_S, STOP_MARGIN_S, StopLimit, stop_advice

DEPLOY = ROOT / "ops" / "deploy"
DOCS = ROOT / "docs" / "deploy"
CHART = DEPLOY / "helm" / "darkroom"
SETTINGS = {field.name.upper() for field in fields(Settings)} - {"SITE_URLS"}
# Variables that other programs read.
PLATFORM_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "the media store",
    "AWS_ENDPOINT": "the media store",
    "AWS_REGION": "the media store",
    "AWS_SECRET_ACCESS_KEY": "the media store",
    "DARKROOM_BIND": "the examples of proxies",
    "DARKROOM_HOST": "the examples of proxies",
    "DARKROOM_IMAGE": "compose.yaml",
    "DARKROOM_MODELS": "the examples of proxies",
    "DARKROOM_WEB": "the examples of proxies",
    "HTTP_PORT": "compose.yaml",
    "MODELS_FOLDER": "compose.yaml",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "OpenTelemetry",
    "OTEL_TRACES_EXPORTER": "OpenTelemetry",
    "PATH": "the shell",
    "POSTGRES_PASSWORD": "compose.yaml",
    "PYTHONDONTWRITEBYTECODE": "Python",
    "PYTHONPATH": "Python",
    "PYTHONUNBUFFERED": "Python",
    "REDIS_PASSWORD": "compose.yaml",
    "S3_PORT": "compose.yaml",
    "XDG_CACHE_HOME": "fontconfig",
    "XDG_DATA_HOME": "fontconfig",
}
# What every process of a deployment on several machines must share.
FLEET = {"REDIS_URL", "DATABASE_URL", "MEDIA_URL", "API_KEY", "SESSION_KEY", "PUBLIC_URL"}
PROCESSES = ("web", "worker", "background", "clock")


def read_yaml(path: Path) -> Any:
    """Read a file of YAML."""
    return yaml.safe_load(path.read_text())


def env_example(*, with_comments: bool = True) -> dict[str, str]:
    """The variables of ``.env.example``, with those that stand in comments if asked for."""
    pattern = r"^#?([A-Z][A-Z0-9_]*)=(.*)$" if with_comments else r"^([A-Z][A-Z0-9_]*)=(.*)$"
    return dict(re.findall(pattern, (DEPLOY / ".env.example").read_text(), re.MULTILINE))


def compose_environment() -> dict[str, str]:
    """The environment of all services of Darkroom."""
    environment: dict[str, str] = read_yaml(DEPLOY / "compose.yaml")["x-darkroom"]["environment"]
    return environment


def chart_variables() -> set[str]:
    """The variables of the pods."""
    values = read_yaml(CHART / "values.yaml")
    templates = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    named = set(re.findall(r"- name: ([A-Z][A-Z0-9_]+)$", templates, re.MULTILINE))
    return {*values["config"], *values["secrets"], *named, "HOST", "PORT"}


def dockerfile_variables() -> set[str]:
    """The variables of the image."""
    block = re.search(r"^ENV (.*?[^\\])$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE | re.DOTALL)
    assert block
    return set(re.findall(r"([A-Z][A-Z0-9_]*)=", block[1]))


def unit_variables() -> set[str]:
    """The variables that units set."""
    lines = [line for path in units().values() for line in path.read_text().splitlines()]
    assigned = [line.removeprefix("Environment=") for line in lines if line.startswith("Environment=")]
    return {part.partition("=")[0] for line in assigned for part in line.split()}


def units() -> dict[str, Path]:
    """The services by file name."""
    return {path.name: path for path in (DEPLOY / "systemd").glob("*.service")}


def heroku_commands() -> str:
    """The page with the commands for Heroku."""
    return (DOCS / "heroku.md").read_text()


def heroku_config() -> dict[str, Any]:
    """The variables of ``app.json``."""
    config: dict[str, Any] = json.loads((ROOT / "app.json").read_text())["env"]
    return config


VARIABLES = {
    ".env.example": lambda: set(env_example()),
    "compose.yaml": lambda: set(compose_environment()),
    "chart": chart_variables,
    "Dockerfile": dockerfile_variables,
    "units": unit_variables,
    "app.json": lambda: set(heroku_config()),
    "heroku.md": lambda: set(re.findall(r"\b([A-Z][A-Z0-9_]+)=", heroku_commands())) - {"APP"},
    "proxies": lambda: {
        name
        for path in (DEPLOY / "proxies").iterdir()
        for name in re.findall(r"\{\$?([A-Z][A-Z_]+)[:}]|\b([A-Z]+_[A-Z_]+)=", path.read_text())
        for name in filter(None, name)
    },
    "documents": lambda: {
        name
        for path in DOCS.glob("*.md")
        for name in re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`", path.read_text())
        if not name.startswith("OTEL_")
    },
}


@pytest.mark.parametrize("source", VARIABLES)
def test_every_variable_is_a_setting_or_belongs_to_another_program(source: str) -> None:
    """A file names no setting that does not exist."""
    found = VARIABLES[source]()

    assert found
    assert found - SETTINGS - set(PLATFORM_VARIABLES) == set()


def test_no_platform_variable_is_a_setting_and_none_is_left_over() -> None:
    """The list of variables of other programs is exact."""
    used = set().union(*(read() for read in VARIABLES.values()))

    assert not set(PLATFORM_VARIABLES) & SETTINGS
    assert set(PLATFORM_VARIABLES) - used == set()


def test_every_deployment_shares_what_processes_share() -> None:
    """Redis, the database, the media store, both keys and the public address are in each of them."""
    heroku_addons = {"REDIS_URL", "DATABASE_URL"}
    chart = read_yaml(CHART / "values.yaml")

    assert FLEET <= set(env_example(with_comments=False))
    assert FLEET - {"PUBLIC_URL"} <= set(compose_environment())
    assert FLEET <= {*chart["config"], *chart["secrets"]}
    assert FLEET - heroku_addons <= set(heroku_config())
    assert FLEET - heroku_addons <= VARIABLES["heroku.md"]()
    assert {f"`{name}`" for name in FLEET} <= set(re.findall(r"`[A-Z_]+`", (DOCS / "README.md").read_text()))


def test_app_json_and_the_commands_for_heroku_agree() -> None:
    """Both set the same variables, to the same values where they are fixed, and add the same add-ons."""
    manifest = json.loads((ROOT / "app.json").read_text())
    commands = heroku_commands()
    addons = [addon["plan"] for addon in manifest["addons"]]

    assert set(manifest["env"]) == VARIABLES["heroku.md"]()
    for name, spec in manifest["env"].items():
        if "value" in spec:
            assert f"{name}={spec['value']}" in commands
    assert re.findall(r"addons:create (\S+)", commands) == addons
    assert re.findall(r"buildpacks:add (\S+)", commands) == [row["url"] for row in manifest["buildpacks"]]
    for process, spec in manifest["formation"].items():
        assert f"{process}={spec['quantity']}:{spec['size']}" in commands
    assert manifest["stack"] in commands


def procfile() -> dict[str, str]:
    """The commands by process type."""
    return dict(re.findall(r"^(\w+): (.*)$", (ROOT / "Procfile").read_text(), re.MULTILINE))


def test_every_deployment_runs_the_commands_of_the_procfile() -> None:
    """Units, services and pods start each process of the Procfile by its own command."""
    commands = {name: command.rpartition("python ")[2] for name, command in procfile().items()}
    started = {
        name: re.search(r"^ExecStart=/opt/darkroom/\.venv/bin/python (.*)$", path.read_text(), re.MULTILINE)
        for name, path in units().items()
    }
    services = read_yaml(DEPLOY / "compose.yaml")["services"]
    dockerfile = (DEPLOY / "Dockerfile").read_text()

    assert {match[1] for match in started.values() if match} == set(commands.values())
    assert len(started) == len(commands) == len(PROCESSES) + 1
    assert 'ENTRYPOINT ["python", "-m", "ops"]' in dockerfile
    for process in PROCESSES:
        assert commands[process] == f"-m ops {process}"
        assert services[process]["command"] == [process]
        assert f"args: [{process}]" in (CHART / "templates" / f"{process}.yaml").read_text()
    assert services["migrate"]["command"] == ["migrate"]
    assert "args: [migrate]" in (CHART / "templates" / "_helpers.tpl").read_text()


def seconds(text: str) -> int:
    """Parse a duration of Compose."""
    return int(text.removesuffix("s"))


def test_platforms_wait_longer_than_jobs_may_take_to_end() -> None:
    """Each grants a worker DRAIN_GRACE_S and the margin in which the browser ends."""
    example, values = env_example(), read_yaml(CHART / "values.yaml")
    services = read_yaml(DEPLOY / "compose.yaml")["services"]
    needed_s = int(example["DRAIN_GRACE_S"]) + STOP_MARGIN_S

    for process in ("worker", "background"):
        assert seconds(services[process]["stop_grace_period"]) > needed_s
        assert services[process]["environment"]["STOP_TIMEOUT_S"] + "s" == services[process]["stop_grace_period"]
        [unit] = [path.read_text() for name, path in units().items() if f"-{process}" in name]
        timeout = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
        assert timeout
        assert int(timeout[1]) > needed_s
        assert "KillMode=mixed" in unit
        template = (CHART / "templates" / f"{process}.yaml").read_text()
        assert f"terminationGracePeriodSeconds: {{{{ add .Values.{process}.drainGraceSeconds 30 }}}}" in template
        assert values[process]["drainGraceSeconds"] + 30 > needed_s
    heroku_grace_s = int(heroku_config()["DRAIN_GRACE_S"]["value"])
    assert stop_advice(heroku_grace_s, StopLimit(HEROKU_STOP_S, "Heroku")) == ""


def test_the_example_becomes_a_valid_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The documented commands fill in every secret, and a process takes the result."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    shutil.copy(DEPLOY / ".env.example", tmp_path)
    block = re.search(r"^(sed .*?> \.env)$", (DOCS / "docker.md").read_text(), re.MULTILINE | re.DOTALL)
    assert block
    subprocess.run(["sh", "-ec", block[1]], cwd=tmp_path, check=True)
    made = dict(re.findall(r"^([A-Z][A-Z0-9_]*)=(.*)$", (tmp_path / ".env").read_text(), re.MULTILINE))

    assert [name for name, value in made.items() if not value] == []
    for name in os.environ:
        if name in SETTINGS:
            monkeypatch.delenv(name)
    for name, value in made.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert (settings.api_key, settings.session_key) == (made["API_KEY"], made["SESSION_KEY"])
    assert settings.media_url == made["MEDIA_URL"]


def test_proxies_use_the_default_prefix_and_the_probe() -> None:
    """The locations of library files and the health checks are those of Darkroom."""
    proxies = {path.name: path.read_text() for path in (DEPLOY / "proxies").iterdir()}
    prefix = load_settings().x_accel_prefix

    assert f"location {prefix}/0/" in proxies["nginx.conf"]
    assert f"X-Accel-Redirect {prefix}/0/*" in proxies["Caddyfile"]
    assert f"strip_prefix {prefix}/0" in proxies["Caddyfile"]
    for name in ("Caddyfile", "haproxy.cfg"):
        assert "/health/live" in proxies[name]


def test_compose_and_nginx_agree_about_the_model_folder() -> None:
    """The proxy finds the files where its location looks for them."""
    volumes = read_yaml(DEPLOY / "compose.yaml")["services"]["nginx"]["volumes"]
    alias = re.search(r"alias (\S+)/;", (DEPLOY / "proxies" / "nginx.conf").read_text())

    assert alias
    assert any(f":{alias[1]}:ro" in volume for volume in volumes)


def test_links_of_the_documents_lead_somewhere() -> None:
    """Every relative link names a file, and every anchor a heading of it."""
    for document in DOCS.glob("*.md"):
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", document.read_text()):
            path = (document.parent / target).resolve() if target else document
            assert path.exists(), f"{document.name}: {target}"
            assert not anchor or anchor in anchors(path), f"{document.name}: {target}#{anchor}"


def anchors(path: Path) -> set[str]:
    """The anchors of the headings of a document."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_document_is_in_the_index() -> None:
    """The index lists all pages of the folder."""
    index = (DOCS / "README.md").read_text()

    assert [
        path.name for path in DOCS.glob("*.md") if path.name != "README.md" and f"]({path.name})" not in index
    ] == []


def test_the_versions_agree() -> None:
    """Server, chart and client packages have one version."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = read_yaml(CHART / "Chart.yaml")
    client = tomllib.loads((ROOT / "ops" / "client" / "pyproject.toml").read_text())["project"]
    package = json.loads((ROOT / "ops" / "client_js" / "package.json").read_text())

    assert {chart["version"], chart["appVersion"], client["version"], package["version"]} == {version}
