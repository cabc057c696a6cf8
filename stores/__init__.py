"""The state: the only code that talks to Redis, to SQL or to the media store. Wired here, and nowhere else."""

from dataclasses import dataclass

from sqlalchemy import Engine, text

from ops.infra.broker import BlockingRedisBroker
from ops.infra.clock import Clock, SystemClock
from ops.infra.database import open_database
from ops.infra.dns import local_addresses
from ops.infra.redis import disconnect
from ops.infra.settings import Settings, SettingsError
from schemas.http.address_policy import AddressPolicy
from stores.accounts.api_keys import ApiKeys
from stores.accounts.key_revocation import RevocationWatcher
from stores.accounts.owner_key import OwnerKey
from stores.accounts.quotas import Quotas
from stores.accounts.rate_limits import RateLimits, parse_default_rates
from stores.accounts.sessions import Sessions
from stores.accounts.wallet_addresses import WalletAddresses
from stores.jobs.attempts import Attempts
from stores.jobs.event_log import EventLog
from stores.jobs.jobs import Jobs
from stores.jobs.maintenance import Maintenance
from stores.jobs.metrics import JobMetricsReader
from stores.jobs.results import Results
from stores.jobs.shared_reads import SharedReads
from stores.jobs.wakeups import Wakeups
from stores.jobs.watch_tokens import WatchTokens
from stores.library import Library
from stores.library.image_inspections import ImageInspections
from stores.library.scan_requests import ScanRequests
from stores.media import Media
from stores.queue.messages import Queue
from stores.queue.worker_heartbeats import WorkerRegistry
from stores.redis.client import StoreClient, open_client
from stores.redis.pubsub import JobNotifier
from stores.redis.scripts import Scripts
from stores.sites.accepted_terms import AcceptedTerms
from stores.sites.canaries import Canaries
from stores.sites.circuit_breakers import CircuitBreakers
from stores.sites.credentials import SiteCredentials, load_encryption_key
from stores.sites.recipes import Recipes
from stores.sites.selector_drift import SelectorDrift
from stores.sites.site_queries import SiteQueries
from stores.sql.errors import sql_errors
from stores.webhooks.deliveries import Deliveries
from stores.webhooks.outbox import Outbox
from stores.webhooks.subscriptions import Subscriptions

ENQUEUE_RETRIES = 3
# How often a job may be tried, for how long its passes last.
MAX_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything that is kept, by what it is."""

    settings: Settings
    clock: Clock
    redis: StoreClient
    engine: Engine
    jobs: Jobs
    attempts: Attempts
    wakeups: Wakeups
    maintenance: Maintenance
    metrics: JobMetricsReader
    circuit_breakers: CircuitBreakers
    selector_drift: SelectorDrift
    canaries: Canaries
    credentials: SiteCredentials
    accepted_terms: AcceptedTerms
    results: Results
    notifier: JobNotifier
    event_log: EventLog
    shared_reads: SharedReads
    watch_tokens: WatchTokens
    queue: Queue
    site_queries: SiteQueries
    workers: WorkerRegistry
    quotas: Quotas
    rate_limits: RateLimits
    owner_key: OwnerKey
    api_keys: ApiKeys
    sessions: Sessions
    key_revocation: RevocationWatcher
    wallet_addresses: WalletAddresses
    recipes: Recipes
    address_policy: AddressPolicy
    subscriptions: Subscriptions
    deliveries: Deliveries
    outbox: Outbox
    media: Media
    image_inspections: ImageInspections
    library: Library
    scan_requests: ScanRequests

    def ping_redis(self) -> None:
        """Raise Unavailable if Redis does not answer."""
        self.redis.ping()

    def ping_database(self) -> None:
        """Raise Unavailable if the database does not answer."""
        with sql_errors(), self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Let go of every connection."""
        self.notifier.stop()
        disconnect(self.redis)
        self.queue.close()
        self.engine.dispose()


def build_address_policy(settings: Settings) -> AddressPolicy:
    """Which addresses callers may have called; raises SettingsError if a setting means nothing."""
    try:
        return AddressPolicy.parse(
            settings.egress_allow, allow_private=settings.egress_allow_private, own_addresses=local_addresses()
        )
    except ValueError as error:
        raise SettingsError(f"EGRESS_ALLOW: {error}") from error


def open_stores(settings: Settings, *, broker: BlockingRedisBroker | None = None, clock: Clock | None = None) -> Stores:
    """The stores that the settings describe; connections are made when first used.

    Raises:
        SettingsError: a recipe is not valid, or an exception for egress, or the file of the owner's key, or the address
            of the media store.
    """
    clock = clock or SystemClock()
    client = open_client(settings.redis_url)
    queue = Queue(broker or BlockingRedisBroker(settings.broker_url, middleware=[], retries=ENQUEUE_RETRIES))
    scripts = Scripts(client)
    jobs = Jobs(client, scripts, clock, settings)
    recipes = Recipes.from_settings(settings)
    engine = open_database(settings.database_url)
    owner_key = OwnerKey.from_settings(settings)
    # Made now if there is none, and told now if it cannot be read.
    owner_key.read()
    keys = ApiKeys(engine, clock, owner_key)
    secret = load_encryption_key(settings.data_dir, settings.session_key)
    webhooks = Subscriptions(engine, client, clock, secret)
    deliveries = Deliveries(engine, clock)
    return Stores(
        settings=settings,
        clock=clock,
        redis=client,
        engine=engine,
        jobs=jobs,
        attempts=Attempts(client, scripts, clock, settings, recipes),
        wakeups=Wakeups(scripts, clock, queue, recipes),
        maintenance=Maintenance(client, scripts, clock, settings),
        metrics=JobMetricsReader(client, clock),
        circuit_breakers=CircuitBreakers(client),
        selector_drift=SelectorDrift(client, clock),
        canaries=Canaries(client, clock),
        credentials=SiteCredentials(engine, clock, secret),
        accepted_terms=AcceptedTerms(engine, clock),
        results=Results(client),
        notifier=JobNotifier(client),
        event_log=EventLog(client),
        shared_reads=SharedReads(jobs),
        watch_tokens=WatchTokens(clock, owner_key, settings.max_wait_s + MAX_ATTEMPTS * settings.job_deadline_s),
        queue=queue,
        site_queries=SiteQueries(client, queue, clock),
        workers=WorkerRegistry(client, clock),
        quotas=Quotas(client, clock, settings),
        rate_limits=RateLimits(client, clock, parse_default_rates(settings)),
        owner_key=owner_key,
        api_keys=keys,
        sessions=Sessions(client, clock, keys),
        key_revocation=RevocationWatcher(keys),
        wallet_addresses=WalletAddresses(engine),
        recipes=recipes,
        address_policy=build_address_policy(settings),
        subscriptions=webhooks,
        deliveries=deliveries,
        outbox=Outbox(client, clock, webhooks, deliveries, settings.public_url),
        media=Media(settings.media_url),
        image_inspections=ImageInspections(client, queue),
        library=Library.from_engine(engine, clock),
        scan_requests=ScanRequests(client, clock),
    )
