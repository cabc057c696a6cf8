"""The main job with a generated client: submit, poll, fetch the picture; and an error. Prints a report as JSON."""

import json
import sys

from darkroom_generated import AuthenticatedClient
from darkroom_generated.api.jobs import jobs_create, jobs_list, jobs_read, jobs_result
from darkroom_generated.models.job_page import JobPage
from darkroom_generated.models.job_request import JobRequest
from darkroom_generated.models.job_request_inputs import JobRequestInputs
from darkroom_generated.models.job_view import JobView
from darkroom_generated.models.native_error import NativeError

MAX_POLLS = 60
FINAL = ("COMPLETED", "FAILED")


def submit(client: AuthenticatedClient, prompt: str) -> JobView:
    """Submit a prompt."""
    inputs = JobRequestInputs.from_dict({"seed": 7, "width": 256, "height": 256, "steps": 4})
    job = jobs_create.sync(client=client, body=JobRequest(prompt=prompt, inputs=inputs))
    assert isinstance(job, JobView), job
    return job


def wait(client: AuthenticatedClient, job: JobView) -> JobView:
    """Poll until the job has ended."""
    for _ in range(MAX_POLLS):
        if job.status.value in FINAL:
            return job
        answer = jobs_read.sync(job.id, client=client, wait=10.0, since=job.seq)
        assert isinstance(answer, JobView), answer
        job = answer
    raise TimeoutError(f"{job.id} has not ended.")


def main(url: str, key: str) -> None:
    """Run the job and print the report."""
    with AuthenticatedClient(base_url=url, token=key, timeout=None) as client:
        job = submit(client, "a lighthouse at dusk")
        ended = wait(client, job)
        picture = jobs_result.sync_detailed(job.id, client=client)
        page = jobs_list.sync(client=client, limit=5)
        refused = jobs_create.sync(client=client, body=JobRequest(prompt=" "))
        assert isinstance(page, JobPage)
        assert isinstance(refused, NativeError)
        result = ended.results[0]
        report = {
            "id": job.id,
            "status": ended.status.value,
            "sizeBytes": result.size_bytes,
            "received": len(picture.content),
            "isListed": any(listed.id == job.id for listed in page.jobs),
            "code": refused.error.code,
        }
        sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
