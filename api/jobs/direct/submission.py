"""Acceptance of jobs without Flask: ``POST /api/v1/jobs`` with a small JSON body.

What is wrong with a request before anything has been counted or created is left to Flask, which reports it. After
that the answer is given here, whatever it is: Flask would count the request, or create the job, once more. Webhooks are
left to Flask as well, because their hosts are looked up.
"""

import time
from collections.abc import Callable, Iterable

from flask import Flask
from structlog.contextvars import bound_contextvars

from api.http.rate_limits import count, exceeded_error
from api.http.request_log import choose_request_id
from api.http.route_policy import RateLimit
from api.jobs.direct.answers import REQUEST_ID, USED_HEADERS, DirectAnswer, DirectAnswers, common_headers, pick
from api.jobs.serializers import native_job
from api.jobs.submission import accepted_headers
from schemas.accounts.caller import Caller, Scope
from schemas.accounts.rate_limits import RateWindow
from schemas.errors import ServiceError
from schemas.jobs.job import JobRequest, load_job_request
from stores.jobs.jobs import AcceptedJob
from stores.jobs.submission import submit

PATH, ENDPOINT = "/api/v1/jobs", "jobs.create"
# Room for the longest prompt with escapes. Pictures are larger, and take long to examine.
MAX_BODY_BYTES = 32 * 1024
CONTENT_TYPE, IDEMPOTENCY_KEY = "CONTENT-TYPE", "IDEMPOTENCY-KEY"
SUBMISSION_HEADERS = USED_HEADERS | {CONTENT_TYPE, IDEMPOTENCY_KEY}

# Takes the largest size that is of use; returns None if the body is larger or does not arrive.
ReadBody = Callable[[int], bytes | None]


class DirectSubmission(DirectAnswers):
    """The direct answers of one application to submissions."""

    def __init__(self, app: Flask) -> None:
        super().__init__(app)
        self._loads = app.json.loads
        self._dumps = app.json.dumps
        self._has_answers = self._is_answered(ENDPOINT)
        # By caller, in Unix seconds: until then Flask refuses its requests, without asking for a body.
        self._exceeded_until: dict[str, int] = {}

    def answer(self, path: str, headers: Iterable[tuple[str, str]], read_body: ReadBody) -> DirectAnswer | None:
        """Return the response to a POST request without query; None if Flask has to give it.

        Names of ``headers`` are in upper case. ``read_body`` is called once the key has been checked.
        """
        began = time.perf_counter()
        used = pick(headers, SUBMISSION_HEADERS) if path == PATH and self._has_answers else None
        if used is None or not _is_json(used.get(CONTENT_TYPE, "")):
            return None
        try:
            caller = self._authenticate(used, Scope.GENERATE)
            # Before the read, which a caller above its limit would send its body for.
            if caller is None or self._is_limit_reached(caller):
                return None
            job_request = self._read_request(read_body)
        except ServiceError:
            # Flask meets the same error, and reports it.
            return None
        if job_request is None or job_request.webhook:
            return None
        request_id = choose_request_id(used.get(REQUEST_ID, ""))
        # For the log lines of the functions that are called from here.
        with bound_contextvars(request_id=request_id):
            answer = self._submit(caller, job_request, used.get(IDEMPOTENCY_KEY), request_id)
        self._record(ENDPOINT, "POST", path, answer, began)
        return answer

    def _is_limit_reached(self, caller: Caller) -> bool:
        until = self._exceeded_until.get(caller.id)
        if until is not None and self._stores.clock.now_ms() >= until * 1000:
            self._exceeded_until.pop(caller.id, None)
            return False
        return until is not None

    def _read_request(self, read_body: ReadBody) -> JobRequest | None:
        """Return the request of the body, or None if the body is not a small JSON request. Raises Invalid."""
        body = read_body(MAX_BODY_BYTES)
        try:
            fields = self._loads(body) if body else None
        except ValueError:
            return None
        return load_job_request(fields) if isinstance(fields, dict) else None

    def _submit(self, caller: Caller, job_request: JobRequest, key: str | None, request_id: str) -> DirectAnswer:
        window: RateWindow | None = None
        stores = self._stores.servers.of(caller.id)
        try:
            window = count(stores, RateLimit.SUBMIT, caller)
            if window is not None and window.is_exceeded:
                self._exceeded_until[caller.id] = window.reset_at
                return self._build_error("POST", PATH, exceeded_error(window), request_id, window)
            accepted = submit(stores, caller, job_request, request_id=request_id, idempotency_key=key)
            return self._build(accepted, request_id, window)
        except Exception as error:  # noqa: BLE001 - as Flask, which makes a response of every exception
            return self._build_error("POST", PATH, error, request_id, window)

    def _build(self, accepted: AcceptedJob, request_id: str, window: RateWindow | None) -> DirectAnswer:
        job = native_job(self._stores, accepted.job, accepted.estimate)
        # As Flask's ``jsonify``.
        data = f"{self._dumps(job, separators=(',', ':'))}\n".encode()
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(data))),
            *accepted_headers(accepted),
            *common_headers(request_id, window),
        ]
        return DirectAnswer("202 ACCEPTED", headers, data)


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"
