"""URL converters."""

from werkzeug.routing import BaseConverter


class JobIdConverter(BaseConverter):
    """A job id: 32 lower-case hexadecimal digits. Other paths at the root do not match the image routes."""

    regex = "[0-9a-f]{32}"
