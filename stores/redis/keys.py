"""The names of all Redis keys and channels.

Every key begins with ``dr:``. The Lua scripts spell the same names, since building them in each call would cost time;
``tests/contract/redis/test_keys.py`` compares the two. Braces in a key keep the keys of one job in one hash slot.
"""

from datetime import UTC, datetime

# Jobs. Names in capitals in the comments are parts of the key.

OPEN_JOBS = "dr:open"
"""zset: unfinished jobs by submission time; ``dr:open:OWNER`` has those of one owner."""
DUE_JOBS = "dr:due"
"""zset: queued jobs that may be claimed only from that time on."""
LEASES = "dr:leases"
"""zset: running jobs by the end of their lease; ``dr:leases:SITE`` has those of one site."""
CAPACITY = "dr:slots"
"""string: the number of jobs that all living workers can run at once."""
STATE_COUNTS = "dr:counts"
"""hash: ``SITE|STATE`` -> open jobs."""
ENDED_COUNTS = "dr:ended"
"""hash: ``SITE|STATE|CODE`` -> jobs ended since the counter began."""

# Events, webhooks, channels

OUTBOX = "dr:outbox"
"""stream: events that webhooks may want, until they are in SQL."""
SUBSCRIBED = "dr:subscribed"
"""set: ``OWNER TYPE`` of the events, other than final ones, that some webhook wants."""
CHANGES_CHANNEL = "dr:changes"
"""channel: ``ID SEQ OWNER`` after each event."""
CANCELS_CHANNEL = "dr:cancels"
"""channel: the ids of running jobs whose cancellation was requested."""

# Workers, library, accounts

WORKER_HEARTBEATS = "dr:workers"
"""zset: workers by the time of their last heartbeat."""
WORKER_DETAILS = "dr:workers:details"
"""hash: worker -> its status, JSON."""
SCAN_REQUESTS = "dr:library:wanted"
"""list: requested library scans, JSON."""
SCAN_STATUS = "dr:library:scan"
"""string: the newest scan event, JSON."""
SCAN_EVENTS = "dr:library:events"
"""stream: scan events."""
RATE_PREFIX = "dr:rate"
"""string ``dr:rate/...``: request counters, named by the ``limits`` library."""


def job_key(job_id: str, part: str) -> str:
    """``dr:{ID}:PART`` of a job.

    Parts: ``job`` (hash, the record), ``events`` (stream, entry ids ``SEQ-0``), ``preview``, ``image`` (further ones
    ``image.2``, ``image.3``, ...), ``image.FORMAT``, ``failure``, ``trace``, ``gone`` (outlives the rest to tell an
    expired job from an unknown one), ``ready.FORMAT`` (list, see ``stores.redis.request_reply``).
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


def concurrency_limit_key(owner: str) -> str:
    """string: the number of jobs of an owner that may run at once; absent if any number may."""
    return f"dr:most:{owner}"


def idempotency_key(owner: str, key: str) -> str:
    """string: the job id (32 characters) of an idempotency key, followed by the digest of its request."""
    return f"dr:idem:{owner}:{key}"


def daily_usage_key(owner: str, now_ms: int) -> str:
    """string: images that an owner's jobs of that day (UTC) may make; failed jobs are taken off."""
    return f"dr:usage:{owner}:{datetime.fromtimestamp(now_ms / 1000, UTC):%Y-%m-%d}"


def weekly_usage_key(owner: str, now_ms: int) -> str:
    """string: the same for the ISO week (UTC, from Monday on)."""
    year, week, _ = datetime.fromtimestamp(now_ms / 1000, UTC).isocalendar()
    return f"dr:usage:{owner}:{year}-W{week:02}"


def claim_key(claim_token: str) -> str:
    """string: the job that a claim got, in case its answer was lost."""
    return f"dr:claim:{claim_token}"


def histogram_key(name: str) -> str:
    """hash: bucket -> observations, plus ``sum``; names are ``pickup`` and ``run``."""
    return f"dr:histogram:{name}"


def ready_key(site: str, owner: str) -> str:
    """zset: claimable jobs of an owner at a site, in the order of their claims."""
    return f"dr:ready:{site}|{owner}"


def turns_key(site: str) -> str:
    """zset: owners of a site's claimable jobs by round-robin position; ``dr:turn`` counts positions."""
    return f"dr:turns:{site}"


def site_key(site: str) -> str:
    """hash: nextAt, runMs, and the circuit breaker: failures, openedAt, retryAt, delay, canary, code, error."""
    return f"dr:site:{site}"


def site_leases_key(site: str) -> str:
    """zset: running jobs of a site by the end of their lease."""
    return f"dr:leases:{site}"


def site_starts_key(site: str, day: int) -> str:
    """string: jobs of a site that started on a day (UTC, days since 1970)."""
    return f"dr:started:{site}:{day}"


def selector_matches_key(site: str) -> str:
    """hash: selector target of the recipe -> the alternative that matched in the last good run."""
    return f"dr:matched:{site}"


def selector_drift_key(site: str) -> str:
    """list: changes of these matches, the newest first, JSON."""
    return f"dr:drift:{site}"


def canary_key(site: str) -> str:
    """hash: ``job`` (the pending canary) and ``outcome`` (of the last one, JSON)."""
    return f"dr:canary:{site}"


def canary_turn_key(site: str) -> str:
    """string: exists until the site's next canary is due."""
    return f"dr:canary:{site}:sent"


def site_query_key(actor: str, site: str, query: str) -> str:
    """string: the cached answer to a site query, JSON; white space and case of ``query`` make no difference."""
    return f"dr:lookup:{actor}:{site}:{' '.join(query.lower().split())}"


def image_inspection_key(media_key: str) -> str:
    """string: the result of an inspection of an upload, JSON."""
    return f"dr:examination:{media_key}"


def session_key(token_hash: str) -> str:
    """string: the session of a token, JSON."""
    return f"dr:login:{token_hash}"


def caller_sessions_key(caller_id: str) -> str:
    """zset: the session keys of a caller by expiry."""
    return f"dr:logins:{caller_id}"
