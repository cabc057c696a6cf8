"""Several Redis servers, each with its own callers: what callers see of them, and of one that is down."""

import pytest
from click.testing import CliRunner

from ops.cli.doctor import doctor
from ops.infra.settings import Settings
from schemas.errors import Unavailable
from schemas.jobs.job import JobRequest
from stores import open_stores
from stores.jobs.job_search import JobFilter
from stores.redis.client import open_client
from stores.redis.keys import daily_usage_key
from stores.shards.jobs import JobPlaces
from stores.shards.placement import Shards
from tests.conftest import API_KEY, eventually
from tests.integration.shards.conftest import Installation


def test_each_caller_has_one_server(installation: Installation) -> None:
    """A job is on its caller's server; the caller finds it by its id and in lists, and the owner finds all."""
    ids = [installation.submit(number).json["id"] for number in (0, 1)]

    assert [installation.of(number).redis.zcard("dr:open") for number in (0, 1)] == [1, 1]
    for number, job_id in enumerate(ids):
        assert installation.of(number).jobs.get(job_id).owner == installation.callers[number]
        assert installation.get(number, f"/api/v1/jobs/{job_id}").json["status"] == "QUEUED"
        assert installation.get(1 - number, f"/api/v1/jobs/{job_id}").status_code == 404
        assert [job["id"] for job in installation.get(number, "/api/v1/jobs").json["jobs"]] == [job_id]
    page = installation.stores.job_search.find_page(JobFilter(None))
    assert {job.id for job, _ in page.jobs} == set(ids)
    assert installation.stores.metrics.read().waiting == 2


def test_one_server_alone_is_all_servers(settings: Settings) -> None:
    """It is the home of every caller, has no name, and is not put together anew for each request."""
    stores = open_stores(settings)

    assert stores.servers.of("a caller") is stores.servers.of("another one") is stores
    assert stores.servers is stores.servers
    assert stores.name == ""
    stores.close()


def reported_servers(installation: Installation) -> list[bool]:
    """Which servers answer, as /health says, to which one that does not is a warning."""
    health = installation.client.get("/health", headers={"x-api-key": API_KEY}).json
    servers = [server["ok"] for server in health["redis"]["servers"]]
    assert ("redis" in health.get("warnings", [])) == (not all(servers))
    assert "redis" not in health.get("failing", [])
    return servers


def counted_servers(installation: Installation) -> list[bool]:
    """For which servers /metrics has the counts of ended jobs and the times of jobs; the sums are always there."""
    metrics = installation.client.get("/metrics", headers={"x-api-key": API_KEY}).text
    assert "darkroom_queue_depth" in metrics
    found = []
    for server in installation.stores.settings.redis_servers:
        ended = f'darkroom_jobs_ended_total{{code="cancelled",server="{server.name}"' in metrics
        assert (f'darkroom_job_run_seconds_count{{server="{server.name}"}}' in metrics) == ended
        found.append(ended)
    return found


def test_a_server_that_is_down_concerns_its_own_callers_only(installation: Installation) -> None:
    """They get 503 with Retry-After, also if it is the first one; the others go on, and all do when it is back."""
    ids = [installation.submit(number).json["id"] for number in (0, 1)]
    for number in (0, 1):
        installation.stores.servers.members[number].jobs.cancel(installation.create(number))
    assert counted_servers(installation) == [True, True]
    for down in (0, 1):
        up = 1 - down
        installation.processes[down].kill()

        refused = installation.submit(down)
        assert refused.status_code == 503
        assert refused.headers["Retry-After"]
        assert installation.get(down, f"/api/v1/jobs/{ids[down]}").status_code == 503
        assert installation.submit(up).status_code == 202
        assert installation.get(up, f"/api/v1/jobs/{ids[up]}").status_code == 200
        assert len(installation.get(up, "/api/v1/jobs").json["jobs"]) >= 2
        assert installation.client.get(f"/{ids[up]}.jpg").status_code == 404
        assert installation.client.get(f"/{ids[down]}.jpg").status_code == 503
        eventually(lambda down=down: reported_servers(installation) == [number != down for number in (0, 1)])

        assert counted_servers(installation) == [number != down for number in (0, 1)]

        installation.processes[down].start()
        assert installation.get(down, f"/api/v1/jobs/{ids[down]}").json["status"] == "QUEUED"
        assert installation.submit(down).status_code == 202
        eventually(installation.allotter.divide)


def test_an_unknown_id_waits_for_no_server_that_is_down(installation: Installation) -> None:
    """The servers that answer are asked; only if the job may be on the other one is the answer 503."""
    server = installation.stores.servers.members[1]
    with pytest.raises(Unavailable), server.redis.availability:
        raise Unavailable
    marked = installation.stores.servers.members[0].jobs.create_id()

    assert installation.get(0, f"/api/v1/jobs/{'a' * 32}").status_code == 503
    assert installation.get(0, f"/api/v1/jobs/{marked}").status_code == 410
    assert installation.stores.jobs.get_existing(["a" * 32]) == []
    # It has not been asked: any answer would have ended this.
    assert server.redis.availability.is_down


def test_doctor_names_the_server_that_is_down(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each server has its row, without its password."""
    settings = installation.stores.settings
    monkeypatch.setenv("DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@127.0.0.1:1/0 redis://:hunter2@127.0.0.1:2/0")
    output = CliRunner().invoke(doctor).output

    assert "redis 127.0.0.1:1/0" in output
    assert "redis 127.0.0.1:2/0" in output
    assert "hunter2" not in output


def test_a_session_is_on_its_callers_server(installation: Installation) -> None:
    """Its token leads there."""
    sessions = installation.stores.sessions
    tokens = [sessions.create_for_version(caller, "v") for caller in installation.callers]

    for number, token in enumerate(tokens):
        assert installation.of(number).redis.exists(f"dr:logins:{installation.callers[number]}")
        assert installation.stores.servers.home(token) == number


def test_a_job_from_before_is_found(installation: Installation) -> None:
    """An id without a mark, and a caller that belongs to another server now: by id, in lists and in events."""
    caller = installation.callers[1]
    old = installation.of(0).jobs
    old.create("a" * 32, caller, JobRequest("free", "a quiet lake at dawn"), "r")
    created_at = old.get("a" * 32).start_time
    eventually(lambda: installation.stores.clock.now_ms() > created_at + 1)
    new = installation.create(1)

    assert installation.get(1, f"/api/v1/jobs/{'a' * 32}").json["status"] == "QUEUED"
    listed = [job["id"] for job in installation.get(1, "/api/v1/jobs").json["jobs"]]
    assert listed == [new, "a" * 32]
    events = installation.stores.servers.members[1].event_log.read_owner(caller, "0-0")
    assert [event.job_id for _, event in events] == ["a" * 32, new]
    response = installation.client.delete(f"/api/v1/jobs/{'a' * 32}", headers={"x-api-key": installation.keys[1]})
    assert response.status_code == 200
    assert old.get("a" * 32).state.is_final


def test_quotas_hold_for_a_caller_that_has_moved(installation: Installation) -> None:
    """What its earlier server has counted today counts on the new one, once."""
    caller = installation.callers[1]
    for number in range(3):
        installation.of(0).jobs.create(f"{number:032x}", caller, JobRequest("free", "a quiet lake at dawn"), "r")

    for _ in range(2):
        installation.create(1)

    assert installation.stores.quotas.get_usage(caller).daily == 5
    assert installation.stores.quotas.get_usage(caller).weekly == 5


def test_quotas_hold_for_a_caller_that_has_moved_twice(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has made on the first server is in the second one's counter already."""
    first, new, caller = installation.of(0), installation.stores.servers.members[1].jobs, installation.callers[1]
    second = open_client(installation.processes[0].url.replace("db=0", "db=5"))
    key = daily_usage_key(caller, installation.stores.clock.now_ms())
    first.redis.set(key, 3)
    second.set(key, 5)
    clients, members = (first.redis, installation.of(1).redis, second), [first.jobs, new, first.jobs]
    monkeypatch.setattr(new, "_places", JobPlaces(Shards("abc", clients, members), new._ids))

    installation.create(1)

    assert installation.stores.quotas.get_usage(caller).daily == 6
    second.close()
