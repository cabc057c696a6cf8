"""Schemas of responses about keys, sessions and limits."""

from marshmallow import fields, validate

from schemas.accounts.caller import Scope
from schemas.accounts.session_requests import MAX_KEY_LENGTH
from schemas.fields import ResponseSchema, Text

SCOPES = fields.List(fields.Enum(Scope, by_value=True))


class SignInRequest(ResponseSchema):
    """The key to sign in with."""

    key = Text(validate=validate.Length(1, MAX_KEY_LENGTH), metadata={"example": "dr_0123456789abcdef"})


class SessionView(ResponseSchema):
    """The caller who is signed in."""

    name = fields.String(metadata={"description": "The name of the key.", "example": "owner"})
    scopes = SCOPES


class NewKey(ResponseSchema):
    """The new key, which is shown only here."""

    key = fields.String(metadata={"example": "dr_0123456789abcdef"})
    message = fields.String()


class QuotaView(ResponseSchema):
    """A limit and its use; null means unlimited, or that it does not reset."""

    limit = fields.Integer(allow_none=True, metadata={"example": 100})
    used = fields.Integer(metadata={"example": 3})
    remaining = fields.Integer(allow_none=True, metadata={"example": 97})
    resetsAt = fields.Integer(allow_none=True, metadata={"description": "Unix milliseconds."})


class QuotasView(ResponseSchema):
    """Limits of numbers of pictures."""

    queued = fields.Nested(QuotaView)
    concurrent = fields.Nested(QuotaView)
    daily = fields.Nested(QuotaView)
    weekly = fields.Nested(QuotaView)


class RateView(ResponseSchema):
    """A limit of requests in a time."""

    limit = fields.Integer(metadata={"example": 60})
    windowSeconds = fields.Integer(metadata={"example": 60})


class RatesView(ResponseSchema):
    """Limits of requests; null means unlimited."""

    submit = fields.Nested(RateView, allow_none=True)
    requests = fields.Nested(RateView, allow_none=True)
    status = fields.Nested(RateView, allow_none=True)


class SiteQuotaView(ResponseSchema):
    """The quota that the default site shows on its page, as it is written there."""

    name = fields.String(metadata={"example": "studio"})
    used = fields.String(metadata={"example": "3"})
    limit = fields.String(metadata={"example": "100"})


class LimitsView(ResponseSchema):
    """Limits and usage of a key."""

    plan = fields.String(allow_none=True, metadata={"description": "The plan that the operator assigned."})
    scopes = SCOPES
    quotas = fields.Nested(QuotasView)
    rates = fields.Nested(RatesView)
    site = fields.Nested(SiteQuotaView, allow_none=True)
