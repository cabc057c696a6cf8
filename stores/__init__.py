"""The state: the only layer that uses Redis, SQL and the media store.

``open_stores`` creates all stores of a process; other code gets them from the ``Stores`` that it returns. With several
Redis servers (``stores.shards``) it returns those of the first one, and ``servers`` has those of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Engine, text

from ops.infra.broker import BlockingRedisBroker
from ops.infra.clock import Clock
from ops.infra.database import open_database
from ops.infra.dns import local_addresses
from ops.infra.redis import disconnect
from ops.infra.setting_parsers import database_on_server
from ops.infra.settings import Settings, SettingsError
from schemas.http.address_policy import AddressPolicy
from stores.accounts.agent_calls import AgentCalls
from stores.accounts.api_keys import ApiKeys
from stores.accounts.key_revocation import RevocationWatcher
from stores.accounts.owner_key import OwnerKey
from stores.accounts.quotas import Quotas
from stores.accounts.rate_limits import RateLimits, parse_default_rates
from stores.accounts.sessions import Sessions
from stores.accounts.sign_in_links import SignInLinks
from stores.accounts.wallet_addresses import WalletAddresses
from stores.compat.client_options import ClientOptions
from stores.compat.request_groups import RequestGroups
from stores.environment.disk_space import DiskSpace, prepare_folders
from stores.environment.shared_settings import SharedSettings
from stores.gallery import Gallery
from stores.images.gallery_media import GalleryMedia
from stores.images.stored_results import StoredResults
from stores.jobs.attempts import Attempts, max_unfinished_s
from stores.jobs.event_log import EventLog
from stores.jobs.input_images import InputImages
from stores.jobs.job_ids import JobIds
from stores.jobs.job_search import JobSearch
from stores.jobs.jobs import Jobs
from stores.jobs.maintenance import Maintenance
from stores.jobs.metrics import JobMetricsReader
from stores.jobs.metrics_history import MetricsHistory
from stores.jobs.results import Results
from stores.jobs.shared.job_copies import JobCopies
from stores.jobs.shared.shared_reads import SharedReads
from stores.jobs.wakeups import Wakeups
from stores.jobs.watch_tokens import WatchTokens
from stores.library import Library
from stores.library.image_inspections import ImageInspections
from stores.library.scan_requests import ScanRequests
from stores.media import Media
from stores.queue.messages import Queue
from stores.queue.process_reports import ProcessReports
from stores.queue.worker_heartbeats import WorkerRegistry
from stores.redis.client import StoreClient, open_client
from stores.redis.pubsub import JobNotifier, WaitingThreads
from stores.redis.scripts import Scripts
from stores.redis.server_clock import RedisClock
from stores.shards.placement import Shards, server_mark
from stores.shards.routed_stores import RoutedStores, shared_clock
from stores.sites.absent_inputs import AbsentInputs
from stores.sites.accepted_terms import AcceptedTerms
from stores.sites.canaries import Canaries
from stores.sites.circuit_breakers import CircuitBreakers
from stores.sites.credentials import SiteCredentials, load_encryption_key
from stores.sites.recipes import Recipes
from stores.sites.scheduling_rules import SchedulingRules
from stores.sites.selector_drift import SelectorDrift
from stores.sites.site_queries import SiteQueries
from stores.sql.database import Database
from stores.webhooks.deliveries import Deliveries
from stores.webhooks.gallery_events import GalleryEventPublisher
from stores.webhooks.outbox import Outbox
from stores.webhooks.subscriptions import Subscriptions

ENQUEUE_RETRIES = 3


@dataclass(frozen=True, slots=True)
class Stores:
    """All stores of a process, for the callers of one Redis server.

    ``servers`` has the same of every server. The ``plain`` ones of a server know of no other: their figures and lists
    are of that server alone. With one server all three are the same.
    """

    settings: Settings
    clock: Clock
    redis: StoreClient
    engine: Engine
    jobs: Jobs
    attempts: Attempts
    wakeups: Wakeups
    maintenance: Maintenance
    metrics: JobMetricsReader
    metrics_history: MetricsHistory
    job_search: JobSearch
    circuit_breakers: CircuitBreakers
    selector_drift: SelectorDrift
    canaries: Canaries
    credentials: SiteCredentials
    accepted_terms: AcceptedTerms
    absent_inputs: AbsentInputs
    results: Results
    stored_results: StoredResults
    notifier: JobNotifier
    job_copies: JobCopies
    event_log: EventLog
    request_groups: RequestGroups
    shared_reads: SharedReads
    watch_tokens: WatchTokens
    queue: Queue
    site_queries: SiteQueries
    workers: WorkerRegistry
    process_reports: ProcessReports
    disk: DiskSpace
    quotas: Quotas
    rate_limits: RateLimits
    owner_key: OwnerKey
    api_keys: ApiKeys
    sessions: Sessions
    sign_in_links: SignInLinks
    key_revocation: RevocationWatcher
    wallet_addresses: WalletAddresses
    agent_calls: AgentCalls
    client_options: ClientOptions
    recipes: Recipes
    address_policy: AddressPolicy
    subscriptions: Subscriptions
    deliveries: Deliveries
    outbox: Outbox
    gallery_events: GalleryEventPublisher
    media: Media
    image_inspections: ImageInspections
    input_images: InputImages
    library: Library
    gallery: Gallery
    gallery_media: GalleryMedia
    scan_requests: ScanRequests
    _servers: "list[Shards[Stores]]" = field(default_factory=list, compare=False, repr=False)
    _plain: "Stores | None" = None

    @property
    def servers(self) -> "Shards[Stores]":
        """The stores of each server; set once all are there."""
        return self._servers[0]

    @property
    def plain(self) -> "Stores":
        """The same server's stores that know of no other."""
        return self._plain or self

    @property
    def name(self) -> str:
        """The name of the server; empty if it is the only one."""
        return self.servers.names[self.servers.clients.index(self.redis)]

    @property
    def has_library(self) -> bool:
        """Whether there is a model library, on this machine or on another one."""
        return bool(self.settings.models_dir) or self.library.roots.exist()

    def ping_redis(self) -> None:
        """Raise Unavailable if Redis does not answer."""
        self.redis.ping()

    def ping_database(self) -> None:
        """Raise Unavailable if the database does not answer."""
        with Database(self.engine).read() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close all connections, also those to other servers."""
        for stores in self.servers.members:
            stores.notifier.stop()
            disconnect(stores.redis)
            stores.queue.close()
        self.engine.dispose()


def build_address_policy(settings: Settings) -> AddressPolicy:
    """Return the policy for addresses that callers may have called (SSRF); raises SettingsError."""
    try:
        return AddressPolicy.parse(
            settings.egress_allow, allow_private=settings.egress_allow_private, own_addresses=local_addresses()
        )
    except ValueError as error:
        raise SettingsError(f"EGRESS_ALLOW: {error}") from error


def open_stores(
    settings: Settings,
    *,
    broker: BlockingRedisBroker | None = None,
    brokers: Sequence[BlockingRedisBroker] = (),
    clock: Clock | None = None,
) -> Stores:
    """Create the stores that the settings describe; connections are opened on first use.

    All stores take the time from Redis. Tests pass a ``clock`` that replaces it, also in the Lua scripts. A process
    that consumes the queue passes the ``broker`` of the only server, or the ``brokers`` of all.

    Raises:
        SettingsError: a recipe, a rate, EGRESS_ALLOW, DATABASE_URL, MEDIA_URL or the owner's key file is invalid, or
            DATA_DIR is needed and cannot be written.
    """
    prepare_folders(settings)
    servers = settings.redis_servers
    clients = [open_client(server.url) for server in servers]
    clocks: list[Clock] = [clock or RedisClock(client) for client in clients]
    parts = _SharedParts.open(settings, shared_clock(clocks))
    waiting = WaitingThreads()
    given = brokers or ([broker] if broker else [])
    opened: list[tuple[Stores, JobIds, Scripts]] = []
    for number, (server, client) in enumerate(zip(servers, clients, strict=True)):
        queue = Queue(
            given[number] if given else BlockingRedisBroker(server.broker_url, middleware=[], retries=ENQUEUE_RETRIES)
        )
        scripts = Scripts(client, test_clock=clock)
        ids = JobIds(parts.encryption_key, clocks[number], server_mark(server.name) if len(servers) > 1 else None)
        connections = _Connections(client, scripts, clocks[number], queue, ids, waiting, clients)
        ticket_database = database_on_server(server.url, server.broker_url)
        opened.append((_open_server(settings, parts, connections, ticket_database), ids, scripts))
    plain = [stores for stores, _, _ in opened]
    for stores in plain:
        stores._servers.append(Shards([""], [stores.redis], [stores]))  # noqa: SLF001 - of the same module
    if len(plain) == 1:
        return plain[0]
    names = [server.name for server in servers]
    routed = RoutedStores(
        Shards(names, clients, plain), [ids for _, ids, _ in opened], [scripts for _, _, scripts in opened]
    )
    shared: list[Shards[Stores]] = []
    full = [
        replace(stores, **routed.fields(number), _servers=shared, _plain=stores) for number, stores in enumerate(plain)
    ]
    shared.append(Shards(names, clients, full))
    return full[0]


@dataclass(frozen=True, slots=True)
class _SharedParts:
    """What the stores of all servers share."""

    engine: Engine
    clock: Clock
    encryption_key: str
    recipes: Recipes
    owner_key: OwnerKey
    api_keys: ApiKeys
    deliveries: Deliveries
    media: Media
    address_policy: AddressPolicy
    library: Library
    gallery: Gallery
    disk: DiskSpace

    @classmethod
    def open(cls, settings: Settings, clock: Clock) -> "_SharedParts":
        encryption_key = load_encryption_key(settings.data_dir, settings.session_key)
        recipes = Recipes.from_settings(settings)
        engine = open_database(settings.database_url)
        owner_key = _open_owner_key(engine, settings)
        return cls(
            engine=engine,
            clock=clock,
            encryption_key=encryption_key,
            recipes=recipes,
            owner_key=owner_key,
            api_keys=ApiKeys(engine, clock, owner_key),
            deliveries=Deliveries(engine, clock),
            media=Media.from_settings(settings),
            address_policy=build_address_policy(settings),
            library=Library.from_engine(engine, clock),
            gallery=Gallery.from_engine(engine, clock),
            disk=DiskSpace.from_settings(settings),
        )


@dataclass(frozen=True, slots=True)
class _Connections:
    """What leads to one server; ``clients`` are those of all."""

    client: StoreClient
    scripts: Scripts
    clock: Clock
    queue: Queue
    ids: JobIds
    waiting: WaitingThreads
    clients: Sequence[StoreClient]


def _open_server(
    settings: Settings, parts: _SharedParts, connections: _Connections, ticket_database: int | None
) -> Stores:
    client, scripts, clock, queue = connections.client, connections.scripts, connections.clock, connections.queue
    engine, media, deliveries = parts.engine, parts.media, parts.deliveries
    jobs = Jobs(client, scripts, clock, settings, connections.ids)
    rules = SchedulingRules(scripts, parts.recipes, is_shared=len(connections.clients) > 1)
    sessions = Sessions(client, clock, parts.api_keys)
    subscriptions = Subscriptions(engine, client, clock, parts.encryption_key)
    image_inspections = ImageInspections(client, queue)
    stored_results = StoredResults.from_settings(settings, client, media, clock, connections.clients)
    results = Results(client, stored_results)
    return Stores(
        settings=settings,
        clock=clock,
        redis=client,
        engine=engine,
        jobs=jobs,
        attempts=Attempts(client, scripts, settings, rules, stored_results),
        wakeups=Wakeups(rules, queue, ticket_database),
        maintenance=Maintenance(client, scripts, clock, settings),
        circuit_breakers=CircuitBreakers(client, scripts, is_shared=len(connections.clients) > 1),
        results=results,
        stored_results=stored_results,
        watch_tokens=WatchTokens(parts.clock, parts.owner_key, max_unfinished_s(settings)),
        queue=queue,
        site_queries=SiteQueries(client, queue, clock),
        quotas=Quotas(client, scripts, clock, settings),
        rate_limits=RateLimits(client, clock, parse_default_rates(settings)),
        owner_key=parts.owner_key,
        api_keys=parts.api_keys,
        sessions=sessions,
        sign_in_links=SignInLinks(client, parts.api_keys),
        key_revocation=RevocationWatcher(parts.api_keys, sessions),
        wallet_addresses=WalletAddresses(engine),
        recipes=parts.recipes,
        address_policy=parts.address_policy,
        subscriptions=subscriptions,
        deliveries=deliveries,
        outbox=Outbox(client, clock, subscriptions, deliveries, settings.public_url),
        gallery_events=GalleryEventPublisher(client, engine, subscriptions, deliveries, settings.public_url),
        media=media,
        image_inspections=image_inspections,
        input_images=InputImages(
            client,
            clock,
            media=media,
            inspections=image_inspections,
            jobs=jobs,
            results=results,
            records=connections.clients,
        ),
        library=parts.library,
        gallery=parts.gallery,
        gallery_media=GalleryMedia.open(client, queue, media, clock, parts.owner_key),
        scan_requests=ScanRequests(client, clock),
        **_open_process_records(client, scripts, parts.disk),
        **_open_job_readers(client, clock, jobs, connections.waiting),
        **_open_site_records(client, engine, parts.clock, parts.encryption_key),
    )


def _open_owner_key(engine: Engine, settings: Settings) -> OwnerKey:
    owner_key = OwnerKey.from_settings(settings)
    # Created, or reported as unreadable, at the start and not with the first request.
    owner_key.read()
    owner_key.on_replaced = SharedSettings(engine, settings).follow_api_key
    return owner_key


def _open_process_records(client: StoreClient, scripts: Scripts, disk: DiskSpace) -> dict[str, Any]:
    """Return the stores, by field, of what processes report about themselves and their machines."""
    return {
        "workers": WorkerRegistry(client, scripts),
        "process_reports": ProcessReports(client, scripts),
        "disk": disk,
    }


def _open_job_readers(client: StoreClient, clock: Clock, jobs: Jobs, waiting: WaitingThreads) -> dict[str, Any]:
    """Return the stores, by field, that find jobs and read their results."""
    notifier = JobNotifier(client, waiting)
    return {
        "notifier": notifier,
        "job_copies": JobCopies(jobs, notifier, clock),
        "agent_calls": AgentCalls(client),
        "metrics": JobMetricsReader(client, clock),
        "metrics_history": MetricsHistory(client, clock),
        "job_search": JobSearch(client, jobs),
        "event_log": EventLog(client),
        "request_groups": RequestGroups(client, clock, jobs),
        "shared_reads": SharedReads(jobs),
    }


def _open_site_records(client: StoreClient, engine: Engine, clock: Clock, encryption_key: str) -> dict[str, Any]:
    """Return the stores, by field, of records about sites."""
    return {
        "selector_drift": SelectorDrift(client, clock),
        "canaries": Canaries(client, clock),
        "credentials": SiteCredentials(engine, clock, encryption_key),
        "accepted_terms": AcceptedTerms(engine, clock),
        "absent_inputs": AbsentInputs(client),
        "client_options": ClientOptions(client),
    }
