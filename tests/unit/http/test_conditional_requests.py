"""Conditional requests and byte ranges: the rules of RFC 9110 as tables."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.http.conditional_requests import ConditionalHeaders, RangeDecision, Representation, decide

ETAG = '"sha256-aa"'
MODIFIED_S = 784_111_777
SAME_DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
EARLIER_DATE = "Sun, 06 Nov 1994 08:49:36 GMT"
LATER_DATE = "Sun, 06 Nov 1994 08:49:38 GMT"
FILE = Representation(ETAG, MODIFIED_S, 1000)
EMPTY = Representation(ETAG, MODIFIED_S, 0)
HUGE = Representation(ETAG, MODIFIED_S, 7 * 2**30 + 1)

WHOLE_FILE = (200, 0, 1000)
NOT_SATISFIABLE = (416, 0, 0)


def summary(decision: RangeDecision) -> tuple[int, int, int]:
    """Return status, first byte and number of bytes."""
    return (decision.status, decision.first, decision.count)


@pytest.mark.parametrize(
    ("range_header", "expected"),
    [
        ("bytes=0-0", (206, 0, 1)),
        ("bytes=0-499", (206, 0, 500)),
        ("bytes=500-999", (206, 500, 500)),
        ("bytes=500-", (206, 500, 500)),
        ("bytes=0-", (206, 0, 1000)),
        ("bytes=999-", (206, 999, 1)),
        ("bytes=999-5000", (206, 999, 1)),
        ("bytes=0-999999999999999999999999999999", (206, 0, 1000)),
        ("bytes=0000-0001", (206, 0, 2)),
        ("bytes=" + "0" * 5000 + "7-9", (206, 7, 3)),
        ("bytes=-1", (206, 999, 1)),
        ("bytes=-1000", (206, 0, 1000)),
        ("bytes=-5000", (206, 0, 1000)),
        ("bytes=-" + "9" * 6000, (206, 0, 1000)),
        ("Bytes=1-2", (206, 1, 2)),
        ("BYTES=1-2", (206, 1, 2)),
        (" bytes=1-2 ", (206, 1, 2)),
        ("bytes= 1-2", (206, 1, 2)),
        ("bytes=1-2\t", (206, 1, 2)),
        ("bytes=,1-2,", (206, 1, 2)),
        ("bytes=1000-", NOT_SATISFIABLE),
        ("bytes=1000-2000", NOT_SATISFIABLE),
        ("bytes=" + "9" * 6000 + "-", NOT_SATISFIABLE),
        ("bytes=-0", NOT_SATISFIABLE),
        ("bytes=-000", NOT_SATISFIABLE),
        ("bytes=1000-,2000-", NOT_SATISFIABLE),
        ("bytes=-0,-0", NOT_SATISFIABLE),
        ("bytes=0-1,5-6", WHOLE_FILE),
        ("bytes=0-1, 1-2, 0-0", WHOLE_FILE),
        ("bytes=0-1,2000-", WHOLE_FILE),
        ("bytes=2000-,0-1", WHOLE_FILE),
        ("bytes=" + ",".join(["0-"] * 2000), WHOLE_FILE),
        ("bytes=0-1,0-1", WHOLE_FILE),
        ("bytes=5-4", WHOLE_FILE),
        ("bytes=0-1,5-4", WHOLE_FILE),
        ("bytes=-", WHOLE_FILE),
        ("bytes=--1", WHOLE_FILE),
        ("bytes=-1-", WHOLE_FILE),
        ("bytes=-1-2", WHOLE_FILE),
        ("bytes=+1-2", WHOLE_FILE),
        ("bytes=1", WHOLE_FILE),
        ("bytes=", WHOLE_FILE),
        ("bytes=,", WHOLE_FILE),
        ("bytes", WHOLE_FILE),
        ("", WHOLE_FILE),
        ("=0-1", WHOLE_FILE),
        ("bytes:0-1", WHOLE_FILE),
        ("bytes=0 - 1", WHOLE_FILE),
        ("bytes=0-1;2-3", WHOLE_FILE),
        ("bytes=a-b", WHOLE_FILE),
        ("bytes=0x1-0x2", WHOLE_FILE),
        ("bytes=1.0-2", WHOLE_FILE),
        ("bytes=\u0661-\u0662", WHOLE_FILE),
        ("bytes=\xb2-\xb3", WHOLE_FILE),
        ("bytes==0-1", WHOLE_FILE),
        ("items=0-1", WHOLE_FILE),
        ("seconds=1-2", WHOLE_FILE),
        ("bytes=0-1\x00", WHOLE_FILE),
    ],
)
def test_a_range_is_satisfied_rejected_or_ignored(range_header: str, expected: tuple[int, int, int]) -> None:
    """A valid range yields 206, one outside the file 416; several and malformed ranges yield the whole file."""
    assert summary(decide(ConditionalHeaders(range=range_header), FILE)) == expected


@pytest.mark.parametrize(
    ("range_header", "expected"),
    [
        (None, (200, 0, 0)),
        ("bytes=0-", NOT_SATISFIABLE),
        ("bytes=0-0", NOT_SATISFIABLE),
        ("bytes=-0", NOT_SATISFIABLE),
        ("bytes=-5", (200, 0, 0)),
        ("bytes=1-0", (200, 0, 0)),
    ],
)
def test_an_empty_file_has_no_ranges(range_header: str | None, expected: tuple[int, int, int]) -> None:
    """The last bytes of an empty file are the whole file."""
    assert summary(decide(ConditionalHeaders(range=range_header), EMPTY)) == expected


@pytest.mark.parametrize(
    ("request_headers", "expected"),
    [
        (ConditionalHeaders(if_match="*"), 200),
        (ConditionalHeaders(if_match=ETAG), 200),
        (ConditionalHeaders(if_match=f'"b", {ETAG}'), 200),
        (ConditionalHeaders(if_match=f"W/{ETAG}"), 412),
        (ConditionalHeaders(if_match='"b"'), 412),
        (ConditionalHeaders(if_match=""), 412),
        (ConditionalHeaders(if_match="sha256-aa"), 412),
        (ConditionalHeaders(if_match=f"{ETAG} and more"), 412),
        (ConditionalHeaders(if_match=f'{ETAG},"'), 412),
        (ConditionalHeaders(if_match='"b"', if_unmodified_since=LATER_DATE), 412),
        (ConditionalHeaders(if_match=ETAG, if_unmodified_since=EARLIER_DATE), 200),
        (ConditionalHeaders(if_unmodified_since=SAME_DATE), 200),
        (ConditionalHeaders(if_unmodified_since=LATER_DATE), 200),
        (ConditionalHeaders(if_unmodified_since=EARLIER_DATE), 412),
        (ConditionalHeaders(if_unmodified_since="yesterday"), 200),
        (ConditionalHeaders(if_none_match="*"), 304),
        (ConditionalHeaders(if_none_match=ETAG), 304),
        (ConditionalHeaders(if_none_match=f"W/{ETAG}"), 304),
        (ConditionalHeaders(if_none_match=f' , "b" ,\t{ETAG},'), 304),
        (ConditionalHeaders(if_none_match='"b"'), 200),
        (ConditionalHeaders(if_none_match="b"), 200),
        (ConditionalHeaders(if_none_match='"b"', if_modified_since=LATER_DATE), 200),
        (ConditionalHeaders(if_none_match=ETAG, if_modified_since=EARLIER_DATE), 304),
        (ConditionalHeaders(method="HEAD", if_none_match=ETAG), 304),
        (ConditionalHeaders(method="POST", if_none_match=ETAG), 412),
        (ConditionalHeaders(method="POST", if_modified_since=LATER_DATE), 200),
        (ConditionalHeaders(if_modified_since=SAME_DATE), 304),
        (ConditionalHeaders(if_modified_since=LATER_DATE), 304),
        (ConditionalHeaders(if_modified_since=EARLIER_DATE), 200),
        (ConditionalHeaders(if_modified_since="Sunday, 06-Nov-94 08:49:37 GMT"), 304),
        (ConditionalHeaders(if_modified_since="Sun Nov  6 08:49:37 1994"), 304),
        (ConditionalHeaders(if_modified_since=f"{SAME_DATE}, {SAME_DATE}"), 200),
        (ConditionalHeaders(if_modified_since="Sun, 06 Nov 1994 08:49:37 +0000"), 200),
        (ConditionalHeaders(if_modified_since="Sun, 99 Nov 1994 99:99:99 GMT"), 200),
        (ConditionalHeaders(if_modified_since="Sun, 06 Nov 0000 08:49:37 GMT"), 200),
        (ConditionalHeaders(if_modified_since="Sun, 06 Foo 1994 08:49:37 GMT"), 200),
        (ConditionalHeaders(if_match='"b"', if_none_match=ETAG, range="bytes=0-1"), 412),
        (ConditionalHeaders(if_match=ETAG, if_none_match=ETAG, range="bytes=0-1"), 304),
        (ConditionalHeaders(if_match=ETAG, if_none_match='"b"', range="bytes=0-1"), 206),
        (ConditionalHeaders(if_unmodified_since=LATER_DATE, if_modified_since=EARLIER_DATE, range="bytes=0-1"), 206),
        (ConditionalHeaders(range="bytes=0-1", if_range=ETAG), 206),
        (ConditionalHeaders(range="bytes=0-1", if_range=f"W/{ETAG}"), 200),
        (ConditionalHeaders(range="bytes=0-1", if_range='"b"'), 200),
        (ConditionalHeaders(range="bytes=0-1", if_range=f"{ETAG}, {ETAG}"), 200),
        (ConditionalHeaders(range="bytes=0-1", if_range=SAME_DATE), 206),
        (ConditionalHeaders(range="bytes=0-1", if_range=LATER_DATE), 200),
        (ConditionalHeaders(range="bytes=0-1", if_range=EARLIER_DATE), 200),
        (ConditionalHeaders(range="bytes=0-1", if_range="nonsense"), 200),
        (ConditionalHeaders(range="bytes=0-1", if_range=""), 200),
        (ConditionalHeaders(range="bytes=5000-", if_range='"b"'), 200),
        (ConditionalHeaders(range="bytes=5000-", if_range=ETAG), 416),
        (ConditionalHeaders(if_range='"b"'), 200),
        (ConditionalHeaders(method="HEAD", range="bytes=0-1"), 200),
        (ConditionalHeaders(method="HEAD", range="bytes=5000-"), 200),
        (ConditionalHeaders(method="POST", range="bytes=0-1"), 200),
    ],
)
def test_conditions_are_evaluated_in_order(request_headers: ConditionalHeaders, expected: int) -> None:
    """If-Match, If-Unmodified-Since, If-None-Match and If-Modified-Since precede If-Range with Range."""
    assert decide(request_headers, FILE).status == expected


def test_without_a_modification_time_dates_are_ignored() -> None:
    """Conditions with dates pass, and a range that depends on a date is not sent."""
    undated = Representation(ETAG, None, 1000)

    assert decide(ConditionalHeaders(if_modified_since=LATER_DATE), undated).status == 200
    assert decide(ConditionalHeaders(if_unmodified_since=EARLIER_DATE), undated).status == 200
    assert decide(ConditionalHeaders(range="bytes=0-1", if_range=SAME_DATE), undated).status == 200


@pytest.mark.parametrize(
    ("range_header", "representation", "expected"),
    [
        ("bytes=1-2", FILE, "bytes 1-2/1000"),
        ("bytes=4294967296-", HUGE, "bytes 4294967296-7516192768/7516192769"),
        ("bytes=1000-", FILE, "bytes */1000"),
        ("bytes=0-", EMPTY, "bytes */0"),
        ("bytes=0-1,2-3", FILE, None),
    ],
)
def test_content_range_states_the_range_and_the_size(
    range_header: str, representation: Representation, expected: str | None
) -> None:
    """A response of 416 states the size alone."""
    assert decide(ConditionalHeaders(range=range_header), representation).content_range == expected


def test_headers_are_read_by_name() -> None:
    """Each header fills its field."""
    names = ("If-Match", "If-Unmodified-Since", "If-None-Match", "If-Modified-Since", "Range", "If-Range")

    assert ConditionalHeaders.from_headers("HEAD", {name: name for name in names}.get) == ConditionalHeaders(
        "HEAD", *names
    )


HEADER = st.none() | st.text(alphabet='bytes=0123456789-,"W/* \tGMT:SunNov\xff', max_size=40)


@settings(max_examples=300, deadline=None)
@given(st.builds(ConditionalHeaders, st.sampled_from(["GET", "HEAD", "PUT"]), *[HEADER] * 6), st.integers(0, 20))
def test_every_range_lies_inside_the_file(request_headers: ConditionalHeaders, size_bytes: int) -> None:
    """Nothing is raised, and a partial response has at least one byte."""
    decision = decide(request_headers, Representation(ETAG, MODIFIED_S, size_bytes))

    assert decision.status in (200, 206, 304, 412, 416)
    assert 0 <= decision.first <= decision.first + decision.count <= size_bytes
    assert (decision.status == 206) <= (decision.count > 0)
    assert (decision.status == 200) <= (decision.count == size_bytes)


def test_etags_that_the_same_bytes_had_before_still_hold() -> None:
    """A download that began before its file was hashed goes on after it."""
    hashed = Representation('"sha256-new"', 1000, 100, earlier_etags=('"100-1-2"',))
    for etag in ('"sha256-new"', '"100-1-2"'):
        part = decide(ConditionalHeaders(range="bytes=10-19", if_range=etag), hashed)
        assert (part.status, part.first, part.count) == (206, 10, 10)
        assert decide(ConditionalHeaders(if_match=etag), hashed).status == 200
        assert decide(ConditionalHeaders(if_none_match=f"W/{etag}"), hashed).status == 304
    for etag in ('"100-1-3"', 'W/"100-1-2"'):
        assert decide(ConditionalHeaders(range="bytes=10-19", if_range=etag), hashed).status == 200
        assert decide(ConditionalHeaders(if_match=etag), hashed).status == 412
    assert decide(ConditionalHeaders(if_none_match='"100-1-3"'), hashed).status == 200
