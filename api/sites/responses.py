"""Schemas of responses about sites; ``api.sites.serializers`` builds them."""

from marshmallow import fields

from schemas.fields import ResponseSchema

OPTIONAL = {"optional": True}
TIME = {"description": "Unix milliseconds.", "example": 1747493741218}


class CircuitView(ResponseSchema):
    """The circuit breaker of a site: while it is open, jobs of the site wait."""

    state = fields.String(metadata={"enum": ["closed", "open"]})
    failures = fields.Integer(metadata={"description": "Consecutive failures.", "example": 0})
    openedAt = fields.Integer(metadata=OPTIONAL | TIME)
    retryAt = fields.Integer(metadata=OPTIONAL | {"description": "When the site is tried again, Unix milliseconds."})
    code = fields.String(metadata=OPTIONAL | {"description": "The code of the error that opened it."})
    error = fields.String(metadata=OPTIONAL | {"description": "The error that opened it."})


class CanaryView(ResponseSchema):
    """How the last canary of a site ended: a small job that is run at intervals."""

    ok = fields.Boolean()
    at = fields.Integer(metadata=TIME)
    seconds = fields.Float(allow_none=True, metadata={"description": "The run time.", "example": 4.2})
    code = fields.String(allow_none=True)
    error = fields.String(allow_none=True)


class TestedProgramView(ResponseSchema):
    """A program that the recipe was run against."""

    name = fields.String(metadata={"example": "AUTOMATIC1111"})
    versions = fields.List(fields.String(metadata={"example": "1.10.1"}))
    standIn = fields.String(
        allow_none=True, metadata={"description": "The stand-in for the program, if the program itself was not run."}
    )


class TestedView(ResponseSchema):
    """The tests of a recipe."""

    with_ = fields.String(data_key="with")
    real = fields.Boolean(metadata={"description": "Whether that was the program or site itself."})
    summary = fields.String()
    programs = fields.List(fields.Nested(TestedProgramView))


class ConsentView(ResponseSchema):
    """Who may use the site."""

    ownership = fields.String(metadata={"description": "`own`, or what the terms say.", "example": "own"})
    termsUrl = fields.String(allow_none=True)
    given = fields.Boolean(metadata={"description": "Whether its terms have been accepted, where that is needed."})


class InputView(ResponseSchema):
    """An input of a site, in the vocabulary of JSON Schema; absent limits are left out."""

    type = fields.String(metadata={"description": "`integer`, `number`, `boolean`, `string` or `image`."})
    description = fields.String(metadata=OPTIONAL | {"example": "Steps"})
    minimum = fields.Float(metadata=OPTIONAL | {"example": 1})
    maximum = fields.Float(metadata=OPTIONAL | {"example": 150})
    multipleOf = fields.Integer(metadata=OPTIONAL)
    maxLength = fields.Integer(metadata=OPTIONAL)
    enum = fields.List(fields.String(), metadata=OPTIONAL)
    default = fields.Raw(metadata=OPTIONAL)
    required = fields.Boolean(metadata=OPTIONAL)
    sameSizeAs = fields.String(metadata=OPTIONAL | {"description": "The picture whose size this one must have."})
    accept = fields.List(fields.String(), metadata=OPTIONAL | {"description": "Media types of a picture."})
    maxBytes = fields.Integer(metadata=OPTIONAL)
    maxPixels = fields.Integer(metadata=OPTIONAL)
    maxDataUrlBytes = fields.Integer(metadata=OPTIONAL)


class SiteLimitsView(ResponseSchema):
    """Limits of the load on the site; null means none."""

    concurrency = fields.Integer(allow_none=True)
    minIntervalSeconds = fields.Float()
    daily = fields.Integer(allow_none=True)


class SiteView(ResponseSchema):
    """A site in the list of sites."""

    circuit = fields.Nested(CircuitView)
    name = fields.String(metadata={"example": "studio"})
    title = fields.String(metadata={"example": "Studio"})
    description = fields.String()
    bundled = fields.Boolean(metadata={"description": "Whether Darkroom itself serves the page."})
    hasLoras = fields.Boolean()
    tested = fields.Nested(TestedView, allow_none=True)
    consent = fields.Nested(ConsentView)
    needsLogin = fields.Boolean()
    canaryEverySeconds = fields.Integer(allow_none=True)
    inputs = fields.Dict(
        keys=fields.String(), values=fields.Nested(InputView), metadata={"description": "The inputs by their names."}
    )
    limits = fields.Nested(SiteLimitsView)


class SelectorChangeView(ResponseSchema):
    """A selector that another alternative matched than before."""

    place = fields.String()
    before = fields.String()
    now = fields.String()
    at = fields.Integer(metadata=TIME)


class SiteDetailView(SiteView):
    """A site, with the choices of its inputs, and how its page has changed."""

    drift = fields.List(fields.Nested(SelectorChangeView))
    matched = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        metadata={"description": "For each selector the alternative that matched last."},
    )
    canary = fields.Nested(CanaryView, allow_none=True)


class SiteList(ResponseSchema):
    """Every site, and the name of the one for jobs that name none."""

    default = fields.String(metadata={"example": "studio"})
    sites = fields.List(fields.Nested(SiteView))
