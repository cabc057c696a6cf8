"""The names of all Redis keys and channels.

The Lua scripts spell the same names, because building them in every call would cost time; the test
``tests/contract/redis/test_keys.py`` compares them with this module. Braces keep the keys of one job in one hash slot.
Names in capitals are placeholders for parts of a key. Only the scripts use these keys:

- ``dr:turn``: the newest round-robin position
- ``dr:places``, ``dr:weights``, ``dr:positions``, ``dr:shares``, ``dr:claimable``, ``dr:heads``: who may be claimed
  from next, described in ``lua/shared/turns.lua``
- ``dr:rules:DIGEST``: hash, the limits of sites as the recipes of some processes have them
- ``dr:repair``: hash, how far ``repair.lua`` has come
- ``dr:expiry``: how many of the oldest unfinished jobs ``sweep.lua`` has found running
- ``dr:started:SITE:DAY``: jobs started that day (UTC, days since 1970)
- ``dr:holders``: set, workers that have held jobs; ``dr:held:WORKER``: set, the jobs that it holds
- ``dr:claim:TOKEN``: the job that a claim got, in case its answer was lost
- ``dr:allotments``: hash, SITE -> "JOBS STARTS": this server's part of the site's limits, if several share them: how
  many jobs may run, and 1 if jobs may start; ``dr:room``: its part of MAX_QUEUE_SIZE
- ``dr:most:OWNER``: how many jobs of the owner may run at once; absent if any number may
"""

from datetime import date, timedelta
from functools import lru_cache

DAY_MS = 86_400_000
EPOCH = date(1970, 1, 1)

# Jobs

# zset: unfinished jobs by submission time. "dr:open:OWNER" is the same for one owner.
OPEN_JOBS = "dr:open"
# zset: queued jobs by the time from which they may be claimed.
DUE_JOBS = "dr:due"
# zset: running jobs by the end of their lease.
LEASES = "dr:leases"
# The number of jobs that all living workers can run at once.
CAPACITY = "dr:slots"
# hash: "SITE|STATE" -> open jobs.
STATE_COUNTS = "dr:counts"
# hash: "SITE|STATE|CODE" -> ended jobs.
ENDED_COUNTS = "dr:ended"
# hash: number of a half minute since 1970 -> a sample of the metrics, JSON.
METRICS_HISTORY = "dr:history"
# zset: all jobs of all owners by submission time.
ALL_JOBS = "dr:jobs"

# set: sites that have had a job.
SITES = "dr:sites"
# zset: owners by the time of their newest submission, until their jobs have left the lists.
OWNERS = "dr:owners"
# zset: owners by the number of their jobs that wait.
WAITING_OWNERS = "dr:weights"
# zset: objects of the media store that hold pictures of jobs, by the time at which they are deleted.
STORED_RESULTS = "dr:results"
# set: sites whose circuit is open.
OPEN_CIRCUITS = "dr:circuits"
# zset: sites at which no job may start now, by the time of their next check.
RESTING_SITES = "dr:resting"

# The process that divides limits among several servers.
ALLOTTER = "dr:allotter"

# Gallery

# zset: "DELAY NONCE" of an upload by the time at which it is looked at.
UPLOAD_CHECKS = "dr:gallery:checks"

# Events and channels

# stream: events that webhooks may want, until their deliveries are in SQL.
OUTBOX = "dr:outbox"
# set: "OWNER TYPE" of the events, other than final ones, that some webhook wants.
SUBSCRIBED = "dr:subscribed"
# channel: "ID SEQ OWNER" after new events of a job; SEQ is the newest. SEQ is 0 after other changes, which may have no
# ID and OWNER. A plus sign before SEQ says that positions and estimates of other jobs may have changed.
CHANGES_CHANNEL = "dr:changes"
QUEUE_MOVED = " +0 "
# channel: ids of running jobs whose cancellation was requested.
CANCELS_CHANNEL = "dr:cancels"

# Workers, library, rate limits

# zset: workers by the time of their last heartbeat.
WORKER_HEARTBEATS = "dr:workers"
# hash: worker -> its status, JSON.
WORKER_DETAILS = "dr:workers:details"
# The same for all processes and their reports about their machines.
PROCESS_HEARTBEATS = "dr:processes"
PROCESS_DETAILS = "dr:processes:details"
# list: requested library scans, JSON.
SCAN_REQUESTS = "dr:library:wanted"
# hash: requested library scans that several processes answer -> what is still to be scanned, JSON.
SCAN_SHARES = "dr:library:shares"
# The newest event of a library scan, JSON.
SCAN_STATUS = "dr:library:scan"
# stream: events of library scans.
SCAN_EVENTS = "dr:library:events"
# Prefix of request counters: "dr:rate:POLICY:SUBJECT:WINDOW" -> requests in that window.
RATE_PREFIX = "dr:rate"


def job_key(job_id: str, part: str) -> str:
    """A key of one job.

    Parts: ``job`` (hash: the record), ``events`` (stream, entry ids ``SEQ-0``), ``preview``, ``image`` (further ones
    ``image.2``, ``image.3``, ...), ``image.FORMAT``, ``image.2.FORMAT``, ``failure``, ``trace``, ``gone`` (an expired
    job; earlier versions wrote it), and ``asked.FORMAT``, ``ready.FORMAT`` (see ``stores.redis.request_reply``).
    """
    return f"dr:{{{job_id}}}:{part}"


def owner_open_jobs_key(owner: str) -> str:
    """zset: unfinished jobs of an owner by submission time."""
    return f"dr:open:{owner}"


def owner_jobs_key(owner: str) -> str:
    """zset: all jobs of an owner by submission time."""
    return f"dr:jobs:{owner}"


def owner_running_jobs_key(owner: str) -> str:
    """set: running jobs of an owner."""
    return f"dr:running:{owner}"


def owner_feed_key(owner: str) -> str:
    """stream: the events of all jobs of an owner, in the order in which they happened."""
    return f"dr:feed:{owner}"


def ready_key(site: str, owner: str) -> str:
    """zset: claimable jobs of an owner at a site, in the order of their claims."""
    return f"dr:ready:{site}|{owner}"


def turns_key(site: str) -> str:
    """zset: owners of a site's claimable jobs that may have one more running, by round-robin position."""
    return f"dr:turns:{site}"


def site_leases_key(site: str) -> str:
    """zset: running jobs of a site by the end of their lease."""
    return f"dr:leases:{site}"


def idempotency_key(owner: str, key: str) -> str:
    """The job id of an idempotency key (32 characters), followed by the digest of its request."""
    return f"dr:idem:{owner}:{key}"


def agent_call_key(owner: str, call: str) -> str:
    """The id of the job that a call of an agent has submitted, or "cancelled"; ``call`` is a hash of the call's ids."""
    return f"dr:call:{owner}:{call}"


def daily_usage_key(owner: str, now_ms: int) -> str:
    """The number of an owner's jobs of that day (UTC), without failed ones; kept for five weeks."""
    return f"dr:usage:{owner}:{_day_name(now_ms // DAY_MS)}"


def weekly_usage_key(owner: str, now_ms: int) -> str:
    """The number of an owner's jobs of that ISO week (UTC, from Monday on), without failed ones; kept for 14 weeks."""
    return f"dr:usage:{owner}:{_week_name(now_ms // DAY_MS)}"


@lru_cache
def _day_name(day: int) -> str:
    return f"{EPOCH + timedelta(days=day):%Y-%m-%d}"


@lru_cache
def _week_name(day: int) -> str:
    year, week, _ = (EPOCH + timedelta(days=day)).isocalendar()
    return f"{year}-W{week:02}"


def histogram_key(name: str) -> str:
    """hash: bucket -> observations, plus ``sum``; names are ``pickup`` and ``run``."""
    return f"dr:histogram:{name}"


def site_key(site: str) -> str:
    """hash: nextAt, pausedUntil, wantedAt (when a visit besides jobs has last asked for this server's turn), runMs.

    Of the circuit: failures, openedAt, retryAt, delay, canary, code, error.
    """
    return f"dr:site:{site}"


def selector_matches_key(site: str) -> str:
    """hash: selector target of the recipe -> the alternative that matched in the last good run."""
    return f"dr:matched:{site}"


def selector_drift_key(site: str) -> str:
    """list: changes of these matches, the newest first, JSON."""
    return f"dr:drift:{site}"


def canary_key(site: str) -> str:
    """hash: ``job``, the canary that has not ended, and ``outcome`` of the last one, JSON."""
    return f"dr:canary:{site}"


def canary_turn_key(site: str) -> str:
    """Exists until the site's next canary is due."""
    return f"dr:canary:{site}:sent"


def absent_inputs_key(site: str, page: str) -> str:
    """set: inputs of the site's recipe that its page was found to lack; the page is a digest of recipe and URL."""
    return f"dr:absent:{site}:{page}"


def site_query_key(actor: str, site: str, query: str) -> str:
    """The cached answer to a site query, JSON; white space and case of the query make no difference."""
    return f"dr:lookup:{actor}:{site}:{' '.join(query.lower().split())}"


def image_inspection_key(media_key: str) -> str:
    """The result of the inspection of an upload, JSON."""
    return f"dr:examination:{media_key}"


def gallery_picture_key(name: str) -> str:
    """The result of keeping the picture at a media key, or of refreshing a token, JSON."""
    return f"dr:gallery:picture:{name}"


def upload_check_lock_key(nonce: str) -> str:
    """Exists while a process checks an upload of the gallery."""
    return f"dr:gallery:upload:{nonce}:checked"


def upload_check_pause_key(nonce: str) -> str:
    """Exists for a while after a reader of a token had its upload checked."""
    return f"dr:gallery:upload:{nonce}:pause"


def poster_request_key(nonce: str) -> str:
    """Exists for a while after a browser was asked for the poster of an upload."""
    return f"dr:gallery:upload:{nonce}:poster"


def gallery_import_key(caller_id: str) -> str:
    """Exists while a caller imports a collection."""
    return f"dr:gallery:import:{caller_id}"


def upload_receipt_lock_key(nonce: str) -> str:
    """Exists while a request receives an upload of the gallery."""
    return f"dr:gallery:upload:{nonce}:received"


def request_groups_key(owner: str) -> str:
    """zset: ``GROUP:NUMBER:ID`` of jobs that were submitted together by one request, by the time of its submission."""
    return f"dr:groups:{owner}"


def client_options_key(owner: str) -> str:
    """hash: options that a caller has set for its later requests."""
    return f"dr:options:{owner}"


def upload_key(upload_id: str) -> str:
    """The record of an uploaded picture that jobs may use, JSON."""
    return f"dr:upload:{upload_id}"


def uploads_key(owner: str) -> str:
    """The ids of a caller's uploads: a sorted set, by the time of their expiry in Unix ms."""
    return f"dr:uploads:{owner}"


def session_key(token_hash: str) -> str:
    """The session of the token with that hash, JSON."""
    return f"dr:login:{token_hash}"


def caller_sessions_key(caller_id: str) -> str:
    """zset: the session keys of a caller by their expiry."""
    return f"dr:logins:{caller_id}"


def sign_in_link_key(token_hash: str) -> str:
    """The sign-in link of the token with that hash, JSON; deleted when it is used."""
    return f"dr:signin:{token_hash}"
