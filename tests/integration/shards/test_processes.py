"""All processes of a Darkroom with two Redis servers, with a real browser."""

from ops.testbed.stack import run_stack
from tests.conftest import eventually

JOB = {"prompt": "a quiet lake at dawn", "inputs": {"width": 256, "height": 256, "steps": 4}}


def test_processes_serve_the_callers_of_both_servers() -> None:
    """One worker makes their pictures, pictures are converted, webs answer for both; and all stop in an orderly way."""
    with run_stack("web", "worker", "background", "clock", redis_servers=2, WORKER_CONCURRENCY="1") as stack:
        keys: dict[int, str] = {}
        while len(keys) < 2:
            key = stack.stores.api_keys.create("a caller")
            caller = stack.stores.api_keys.authenticate(key)
            assert caller
            keys.setdefault(stack.stores.servers.home(caller.id), key)
        eventually(lambda: all(client.exists("dr:room") for client in stack.stores.servers.clients))
        for number, key in keys.items():
            with stack.client(key) as client:
                job_id = client.post("/api/v1/jobs", json=JOB).raise_for_status().json()["id"]
                assert stack.stores.servers.members[number].plain.jobs.get(job_id)
                job = client.get(f"/api/v1/jobs/{job_id}", params={"wait": 30, "since": 1}).json()
                while job["status"] not in ("COMPLETED", "FAILED"):
                    job = client.get(f"/api/v1/jobs/{job_id}", params={"wait": 30, "since": job["seq"]}).json()
                assert job["status"] == "COMPLETED", job
                assert client.get(f"/{job_id}.webp").headers["Content-Type"] == "image/webp"
                assert client.get("/health").json()["status"] == "OK"
