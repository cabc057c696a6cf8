"""Schemas of the health report; ``api.pages.health`` builds it."""

from marshmallow import fields, validate

from api.sites.responses import CanaryView, CircuitView
from schemas.fields import ResponseSchema

DETAIL = {"optional": True, "description": "With a key only."}


class PartView(ResponseSchema):
    """A part of Darkroom. One whose state could not be read has ``error``."""

    ok = fields.Boolean()
    latencyMs = fields.Float(metadata={"optional": True, "example": 0.4})
    error = fields.String(metadata={"optional": True})


class RedisServerView(ResponseSchema):
    """One of several Redis servers."""

    name = fields.String(metadata={"example": "redis-1:6379/0"})
    ok = fields.Boolean()


class RedisView(PartView):
    """Redis; with several servers, `warning` names those that do not answer."""

    warning = fields.String(metadata={"optional": True})
    servers = fields.List(fields.Nested(RedisServerView), metadata={"optional": True})


class DiskView(PartView):
    """The disks of web and background processes."""

    freeBytes = fields.Integer(metadata={"optional": True})
    problems = fields.Dict(keys=fields.String(), values=fields.String(), metadata={"optional": True})


class QueueView(PartView):
    """The queue of jobs."""

    messages = fields.Integer(metadata={"optional": True})
    waiting = fields.Integer(metadata={"optional": True})
    running = fields.Integer(metadata={"optional": True})
    oldestSeconds = fields.Float(metadata={"optional": True})
    maximum = fields.Integer(metadata={"optional": True})


class WorkerView(ResponseSchema):
    """A worker and its browser."""

    id = fields.String()
    ready = fields.Boolean()
    browser = fields.String()
    browser_restarts = fields.Integer()
    contexts = fields.Integer()
    slots = fields.Integer()
    jobs = fields.Integer()
    memory_bytes = fields.Integer()
    problem = fields.String()
    started_at = fields.Integer()
    browser_started_at = fields.Integer()


class WorkersView(PartView):
    """The workers with a recent heartbeat."""

    alive = fields.Integer(metadata={"optional": True})
    ready = fields.Integer(metadata={"optional": True})
    workers = fields.List(fields.Nested(WorkerView), metadata={"optional": True})


class ClocksView(PartView):
    """How far the clocks of processes are from that of Redis."""

    warning = fields.String(metadata={"optional": True})
    offsetSeconds = fields.Dict(keys=fields.String(), values=fields.Float(), metadata={"optional": True})


class SiteHealthView(ResponseSchema):
    """Whether a site works."""

    circuit = fields.Nested(CircuitView)
    canary = fields.Nested(CanaryView, allow_none=True)


class SitesHealthView(PartView):
    """Whether the sites work."""

    default = fields.String(metadata={"optional": True})
    sites = fields.Dict(keys=fields.String(), values=fields.Nested(SiteHealthView), metadata={"optional": True})


class HealthView(ResponseSchema):
    """The health of Darkroom."""

    status = fields.String(metadata={"enum": ["OK", "DEGRADED"]})
    failing = fields.List(fields.String(), metadata={"optional": True, "description": "Parts that do not work."})
    warnings = fields.List(fields.String(), metadata={"optional": True, "description": "Parts that need attention."})
    version = fields.String(metadata=DETAIL)
    redis = fields.Nested(RedisView, metadata=DETAIL)
    database = fields.Nested(PartView, metadata=DETAIL)
    disk = fields.Nested(DiskView, metadata=DETAIL)
    queue = fields.Nested(QueueView, metadata=DETAIL)
    workers = fields.Nested(WorkersView, metadata=DETAIL)
    clocks = fields.Nested(ClocksView, metadata=DETAIL)
    sites = fields.Nested(SitesHealthView, metadata=DETAIL)


class LivenessView(ResponseSchema):
    """That a web process answers."""

    status = fields.String(validate=validate.Equal("OK"))
