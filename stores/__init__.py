"""The state: the only code that talks to Redis, to SQL or to the media store. Wired here, and nowhere else."""

from dataclasses import dataclass

from redis import Redis
from sqlalchemy import Engine

from ops.infra.broker import DoorbellBroker
from ops.infra.clock import Clock, SystemClock
from ops.infra.database import open_database
from ops.infra.dns import own_addresses
from ops.infra.redis import connect, disconnect
from ops.infra.settings import Settings, SettingsError
from schemas.http.address_policy import Policy
from stores.accounts.api_keys import Keys
from stores.accounts.key_revocation import Vigil
from stores.accounts.owner_key import OwnerKey
from stores.accounts.quotas import Quotas
from stores.accounts.rate_limits import Rates, usual_rates
from stores.accounts.sessions import Logins
from stores.accounts.wallet_addresses import Addresses
from stores.jobs.attempts import Attempts
from stores.jobs.event_log import Logs
from stores.jobs.jobs import Jobs
from stores.jobs.maintenance import Upkeep
from stores.jobs.results import Results
from stores.jobs.shared_reads import Glances
from stores.jobs.wakeups import Tickets
from stores.jobs.watch_tokens import Passes
from stores.library import Library
from stores.library.image_inspections import Examinations
from stores.library.scan_requests import Scans
from stores.media import Media
from stores.queue.messages import Queue
from stores.queue.worker_heartbeats import Fleet
from stores.redis.pubsub import Changes
from stores.redis.scripts import Scripts
from stores.sites.accepted_terms import Consents
from stores.sites.canaries import Canaries
from stores.sites.circuit_breakers import Circuits
from stores.sites.credentials import Sessions, session_key
from stores.sites.recipes import Recipes
from stores.sites.selector_drift import Drift
from stores.sites.site_queries import Lookups
from stores.webhooks.deliveries import Deliveries
from stores.webhooks.outbox import Outbox
from stores.webhooks.subscriptions import Webhooks

SENDING_RETRIES = 3
# How often a job may be tried, for how long its passes last.
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything that is kept, by what it is."""

    settings: Settings
    clock: Clock
    redis: Redis
    engine: Engine
    jobs: Jobs
    attempts: Attempts
    tickets: Tickets
    upkeep: Upkeep
    circuits: Circuits
    drift: Drift
    canaries: Canaries
    sessions: Sessions
    consents: Consents
    results: Results
    changes: Changes
    logs: Logs
    glances: Glances
    passes: Passes
    queue: Queue
    lookups: Lookups
    fleet: Fleet
    quotas: Quotas
    rates: Rates
    owner_key: OwnerKey
    keys: Keys
    logins: Logins
    vigil: Vigil
    addresses: Addresses
    recipes: Recipes
    egress: Policy
    webhooks: Webhooks
    deliveries: Deliveries
    outbox: Outbox
    media: Media
    examinations: Examinations
    library: Library
    scans: Scans

    def close(self) -> None:
        """Let go of every connection."""
        self.changes.stop()
        disconnect(self.redis)
        self.queue.close()
        self.engine.dispose()


def egress_policy(settings: Settings) -> Policy:
    """Which addresses callers may have called; raises SettingsError if a setting means nothing."""
    try:
        return Policy.parse(settings.egress_allow, private=settings.egress_allow_private, own=own_addresses())
    except ValueError as error:
        raise SettingsError(f"EGRESS_ALLOW: {error}") from error


def open_stores(settings: Settings, *, broker: DoorbellBroker | None = None, clock: Clock | None = None) -> Stores:
    """The stores that the settings describe; connections are made when first used.

    Raises:
        SettingsError: a recipe is not valid, or an exception for egress, or the file of the owner's key, or the address
            of the media store.
    """
    clock = clock or SystemClock()
    client = connect(settings.redis_url)
    queue = Queue(broker or DoorbellBroker(settings.broker_url, middleware=[], retries=SENDING_RETRIES))
    scripts = Scripts(client)
    jobs = Jobs(client, scripts, clock, settings)
    recipes = Recipes.of(settings)
    engine = open_database(settings.database_url)
    owner_key = OwnerKey.of(settings)
    # Made now if there is none, and told now if it cannot be read.
    owner_key.read()
    keys = Keys(engine, clock, owner_key)
    secret = session_key(settings.data_dir, settings.session_key)
    webhooks = Webhooks(engine, client, clock, secret)
    deliveries = Deliveries(engine, clock)
    return Stores(
        settings=settings,
        clock=clock,
        redis=client,
        engine=engine,
        jobs=jobs,
        attempts=Attempts(client, scripts, clock, settings, recipes),
        tickets=Tickets(scripts, clock, queue, recipes),
        upkeep=Upkeep(client, scripts, clock, settings),
        circuits=Circuits(client),
        drift=Drift(client, clock),
        canaries=Canaries(client, clock),
        sessions=Sessions(engine, clock, secret),
        consents=Consents(engine, clock),
        results=Results(client),
        changes=Changes(client),
        logs=Logs(client),
        glances=Glances(jobs),
        passes=Passes(clock, owner_key, settings.max_wait_s + ATTEMPTS * settings.job_deadline_s),
        queue=queue,
        lookups=Lookups(client, queue, clock),
        fleet=Fleet(client, clock),
        quotas=Quotas(client, clock, settings),
        rates=Rates(client, clock, usual_rates(settings)),
        owner_key=owner_key,
        keys=keys,
        logins=Logins(client, clock, keys),
        vigil=Vigil(keys),
        addresses=Addresses(engine),
        recipes=recipes,
        egress=egress_policy(settings),
        webhooks=webhooks,
        deliveries=deliveries,
        outbox=Outbox(client, clock, webhooks, deliveries, settings.public_url),
        media=Media(settings.media_url),
        examinations=Examinations(client, queue),
        library=Library.of(engine, clock),
        scans=Scans(client, clock),
    )
