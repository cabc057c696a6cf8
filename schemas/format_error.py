"""The error for files and texts from outside that do not follow their format."""


class FormatError(ValueError):
    """The input does not follow its format. ``code`` is a stable identifier; the message is a sentence for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
