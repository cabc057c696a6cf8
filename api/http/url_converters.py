"""The shape of a job's id in URLs, so that any other path is simply not a job."""

from werkzeug.routing import BaseConverter


class JobIdConverter(BaseConverter):
    """32 lower-case hexadecimal digits."""

    regex = "[0-9a-f]{32}"
