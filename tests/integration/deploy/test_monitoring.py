"""The alert rules and the dashboard: their metrics and labels are those of ``/metrics``, and Prometheus takes them."""

import json
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from ops.infra.settings import ROOT, SHIPPED_RECIPES, Settings
from stores.queue.process_reports import ProcessReport
from stores.queue.worker_heartbeats import WorkerStatus
from tests.integration.conftest import AppClient, FakeWorker, close_app, open_app

MONITORING = ROOT / "ops" / "deploy" / "monitoring"
RULES = MONITORING / "prometheus-rules.yml"
METRIC = re.compile(r"\b(darkroom_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
GROUPING = re.compile(r"\b(?:by|without) \(([^)]*)\)")


def rule_expressions() -> Iterator[str]:
    """The expressions of the alerts."""
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


def dashboard_expressions() -> Iterator[str]:
    """The expressions of the panels and the variable."""
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield dashboard["templating"]["list"][1]["definition"]


@pytest.fixture
def app(settings: Settings, tmp_path: Path) -> Iterator[AppClient]:
    """An app whose second site has a canary."""
    recipe = (SHIPPED_RECIPES / "studio.toml").read_text()
    assert "[consent]" in recipe
    canary = '[canary]\nevery_s = 60\nprompt = "a canary"\n\n[consent]'
    (tmp_path / "watched.toml").write_text(recipe.replace("[consent]", canary, 1))
    client = open_app(replace(settings, recipes_dir=tmp_path))
    yield client
    close_app(client)


@pytest.fixture
def exposed(app: AppClient, worker: FakeWorker) -> dict[str, set[str]]:
    """The labels of every metric that a deployment at work exposes, by name."""
    worker.start()
    worker.complete()
    app.submit()
    app.stores.workers.record_heartbeat(
        WorkerStatus("w1", ready=True, browser="", browser_restarts=0, contexts=1, slots=2, jobs=1, memory_bytes=5)
    )
    app.stores.process_reports.record(ProcessReport("web@host:1", "web", 3, 1000))
    app.stores.canaries.record_outcome("watched", app.stores.jobs.get(worker.job_id))
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for family in text_string_to_metric_families(app.get("/metrics").get_data(as_text=True)):
        labels[family.name] |= set()
        for sample in family.samples:
            labels[sample.name] |= set(sample.labels)
    return dict(labels)


@pytest.mark.parametrize("read", [rule_expressions, dashboard_expressions])
def test_every_metric_and_label_exists(read: Callable[[], Iterator[str]], exposed: dict[str, set[str]]) -> None:
    """No alert and no panel waits for a metric that nothing exposes."""
    expressions = list(read())
    assert len(expressions) > 10
    for expression in expressions:
        metrics = METRIC.findall(expression)
        assert metrics, expression
        for name, matchers in metrics:
            assert name in exposed, name
            assert set(MATCHER.findall(matchers)) <= exposed[name], expression
        known = set().union(*(exposed[name] for name, _ in metrics))
        for group in GROUPING.findall(expression):
            assert {label.strip() for label in group.split(",") if label.strip()} <= known, expression


def test_every_metric_is_in_the_dashboard(exposed: dict[str, set[str]]) -> None:
    """The dashboard shows all that Darkroom exposes."""
    shown = {family(name) for text in dashboard_expressions() for name, _ in METRIC.findall(text)}

    assert shown == {family(name) for name in exposed if name.startswith("darkroom_")}


def family(name: str) -> str:
    """The name without the suffix of a counter or histogram."""
    return re.sub(r"_(bucket|count|sum|total|created)$", "", name)


def test_every_alert_is_documented() -> None:
    """The page on monitoring lists each alert with its severity."""
    text = (ROOT / "docs" / "deploy" / "monitoring.md").read_text()
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]

    assert set(re.findall(r"`(Darkroom\w+)`", text)) == {rule["alert"] for rule in rules}
    assert all(rule["labels"]["severity"] in ("critical", "warning", "info") for rule in rules)


def promtool(*arguments: str) -> str:
    """Run promtool, which Debian's package prometheus has."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def changed_site(a: str, b: str) -> dict[str, str]:
    """Counts of jobs that ended because a page has changed, of two Redis servers.

    An instance of an earlier version reports those of the first one without its name.
    """
    name = 'darkroom_jobs_ended_total{code="site_changed",site="s",state="FAILED",server="%s",instance="%s"}'
    return {name % ("a", "1"): a, name % ("a", "2"): a, name % ("b", "1"): b, name % ("", "3"): a}


def test_prometheus_takes_the_rules(tmp_path: Path) -> None:
    """Promtool checks the rules, and that the alerts fire when they should and not before."""
    assert "SUCCESS" in promtool("check", "rules", str(RULES))
    cases = [
        ("DarkroomNoWorkers", {"darkroom_queue_depth": "5x10", 'darkroom_browser_up{worker="a"}': "0x10"}, True),
        ("DarkroomNoWorkers", {"darkroom_queue_depth": "5x10"}, True),
        ("DarkroomNoWorkers", {"darkroom_queue_depth": "5x10", 'darkroom_browser_up{worker="a"}': "1x10"}, False),
        ("DarkroomNotScraped", {"up": "1x10"}, True),
        ("DarkroomNotScraped", {"darkroom_queue_depth": "0x10"}, False),
        ("DarkroomRedisDown", {'darkroom_redis_up{server="a"}': "0x10", 'darkroom_redis_up{server="b"}': "1x10"}, True),
        # Two web processes report the counts of server a; server b is away for a while, and nothing was added there.
        ("DarkroomSiteChanged", changed_site(a="0+1x10", b="5 5 _ _ _ 5 5 5 5"), True),
        ("DarkroomSiteChanged", changed_site(a="7x10", b="5 5 _ _ _ 5 5 5 5"), False),
        ("DarkroomSiteChanged", changed_site(a="0 0 1 1 2 2 2 2 2", b="5x10"), False),
    ]
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)',
                    "eval_time": "8m",
                    "exp_samples": [{"labels": "{}", "value": int(fires)}],
                }
            ],
        }
        for alert, series, fires in cases
    ]
    (tmp_path / "test.yml").write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": tests}))

    assert "SUCCESS" in promtool("test", "rules", str(tmp_path / "test.yml"))
