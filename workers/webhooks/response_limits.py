"""Limits on what a webhook receiver may send, enforced while its bytes arrive.

aiohttp limits single lines and the number of headers, but neither the number of interim responses (1xx), nor blank
lines before a response, chunk extensions, trailers, or what follows a complete response. It also parses everything that
a read of the socket returned (up to 256 KiB, thousands of messages) before other connections get their turn.
"""

from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

MAX_HEAD_BYTES = 32 * 1024
MAX_INTERIM_RESPONSES = 8
MAX_BODY_BYTES = 16 * 1024
# The limits are checked after so many bytes.
SLICE_BYTES = 2 * 1024


class ResponseLimitError(aiohttp.ClientError):
    """The receiver sends too much before its final status; the message is a sentence for people."""


class LimitedResponseHandler(ResponseHandler):
    """aiohttp's protocol of one connection, with limits on each response.

    Beyond a limit before the final status, the request fails with ResponseLimitError. After it, the status decides the
    outcome, so the body just ends. In both cases the connection is closed.
    """

    def set_response_params(self, **params: Any) -> None:
        """Begin to wait for a response; aiohttp calls this for every request of the connection."""
        self._head_bytes = self._body_bytes = self._interim_responses = 0
        self._body: aiohttp.StreamReader | None = None
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes in slices until a limit is exceeded."""
        # Without a parser no request has been sent, and aiohttp keeps a bounded number of bytes.
        if self._parser is None or len(data) <= SLICE_BYTES:
            self._parse(data)
            return
        for start in range(0, len(data), SLICE_BYTES):
            if self.transport is None or self.transport.is_closing():
                return
            self._parse(data[start : start + SLICE_BYTES])

    def _parse(self, data: bytes) -> None:
        if self._parser is None or self.upgraded:
            super().data_received(data)
        elif self._body is None:
            self._head_bytes += len(data)
            super().data_received(data)
            self._check_head()
        elif self._body.is_eof():
            # The response is complete, so further bytes are ignored.
            self._close_now()
        else:
            self._body_bytes += len(data)
            super().data_received(data)
            self._check_body(self._body)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Queue a parsed message for the reader; count interim responses."""
        message, body = data
        if 100 <= message.code < 200 and message.code != 101:
            self._interim_responses += 1
        elif self._body is None:
            self._body = body
        super().feed_data(data, size)

    def _check_head(self) -> None:
        if self._body is not None:
            self._check_body(self._body)
        elif self._interim_responses > MAX_INTERIM_RESPONSES:
            self._fail(f"The response has more than {MAX_INTERIM_RESPONSES} interim responses (1xx).")
        elif self._head_bytes > MAX_HEAD_BYTES:
            self._fail(f"The response has no status and headers within its first {MAX_HEAD_BYTES:,} bytes.")

    def _check_body(self, body: aiohttp.StreamReader) -> None:
        if self._body_bytes > MAX_BODY_BYTES and not body.is_eof():
            # Without the parser, which would report the end of the connection as an error.
            self._parser = None
            self._close_now()
            body.feed_eof()

    def _fail(self, message: str) -> None:
        self.set_exception(ResponseLimitError(message))
        self._close_now()

    def _close_now(self) -> None:
        """Close the connection; ``abort`` of the base class would also forget the exception."""
        self.force_close()
        if self.transport is not None:
            self.transport.abort()
