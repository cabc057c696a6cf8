"""Which part of a file is sent, and when none is: the rules of RFC 9110 as a table."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.http.conditional_requests import ConditionalHeaders, RangeDecision, Representation, decide

ETAG = '"sha256-aa"'
MODIFIED_S = 784_111_777
THEN = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"
FILE = Representation(ETAG, MODIFIED_S, 1000)
EMPTY = Representation(ETAG, MODIFIED_S, 0)
HUGE = Representation(ETAG, MODIFIED_S, 7 * 2**30 + 1)

WHOLE = (200, 0, 1000)
NONE = (416, 0, 0)


def seen(decision: RangeDecision) -> tuple[int, int, int]:
    """A decision in three numbers."""
    return (decision.status, decision.first, decision.count)


@pytest.mark.parametrize(
    ("asked", "expected"),
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
        ("bytes=1000-", NONE),
        ("bytes=1000-2000", NONE),
        ("bytes=" + "9" * 6000 + "-", NONE),
        ("bytes=-0", NONE),
        ("bytes=-000", NONE),
        ("bytes=1000-,2000-", NONE),
        ("bytes=-0,-0", NONE),
        ("bytes=0-1,5-6", WHOLE),
        ("bytes=0-1, 1-2, 0-0", WHOLE),
        ("bytes=0-1,2000-", WHOLE),
        ("bytes=2000-,0-1", WHOLE),
        ("bytes=" + ",".join(["0-"] * 2000), WHOLE),
        ("bytes=0-1,0-1", WHOLE),
        ("bytes=5-4", WHOLE),
        ("bytes=0-1,5-4", WHOLE),
        ("bytes=-", WHOLE),
        ("bytes=--1", WHOLE),
        ("bytes=-1-", WHOLE),
        ("bytes=-1-2", WHOLE),
        ("bytes=+1-2", WHOLE),
        ("bytes=1", WHOLE),
        ("bytes=", WHOLE),
        ("bytes=,", WHOLE),
        ("bytes", WHOLE),
        ("", WHOLE),
        ("=0-1", WHOLE),
        ("bytes:0-1", WHOLE),
        ("bytes=0 - 1", WHOLE),
        ("bytes=0-1;2-3", WHOLE),
        ("bytes=a-b", WHOLE),
        ("bytes=0x1-0x2", WHOLE),
        ("bytes=1.0-2", WHOLE),
        ("bytes=\u0661-\u0662", WHOLE),
        ("bytes=\xb2-\xb3", WHOLE),
        ("bytes==0-1", WHOLE),
        ("items=0-1", WHOLE),
        ("seconds=1-2", WHOLE),
        ("bytes=0-1\x00", WHOLE),
    ],
)
def test_a_range_is_sent_or_refused_or_means_nothing(asked: str, expected: tuple[int, int, int]) -> None:
    """One range is a part; none that exists is 416; several, or what means nothing, is the whole."""
    assert seen(decide(ConditionalHeaders(range=asked), FILE)) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, (200, 0, 0)),
        ("bytes=0-", NONE),
        ("bytes=0-0", NONE),
        ("bytes=-0", NONE),
        ("bytes=-5", (200, 0, 0)),
        ("bytes=1-0", (200, 0, 0)),
    ],
)
def test_an_empty_file_has_no_parts(asked: str | None, expected: tuple[int, int, int]) -> None:
    """The last bytes of nothing are the whole, which is nothing."""
    assert seen(decide(ConditionalHeaders(range=asked), EMPTY)) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
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
        (ConditionalHeaders(if_match='"b"', if_unmodified_since=AFTER), 412),
        (ConditionalHeaders(if_match=ETAG, if_unmodified_since=BEFORE), 200),
        (ConditionalHeaders(if_unmodified_since=THEN), 200),
        (ConditionalHeaders(if_unmodified_since=AFTER), 200),
        (ConditionalHeaders(if_unmodified_since=BEFORE), 412),
        (ConditionalHeaders(if_unmodified_since="yesterday"), 200),
        (ConditionalHeaders(if_none_match="*"), 304),
        (ConditionalHeaders(if_none_match=ETAG), 304),
        (ConditionalHeaders(if_none_match=f"W/{ETAG}"), 304),
        (ConditionalHeaders(if_none_match=f' , "b" ,\t{ETAG},'), 304),
        (ConditionalHeaders(if_none_match='"b"'), 200),
        (ConditionalHeaders(if_none_match="b"), 200),
        (ConditionalHeaders(if_none_match='"b"', if_modified_since=AFTER), 200),
        (ConditionalHeaders(if_none_match=ETAG, if_modified_since=BEFORE), 304),
        (ConditionalHeaders(method="HEAD", if_none_match=ETAG), 304),
        (ConditionalHeaders(method="POST", if_none_match=ETAG), 412),
        (ConditionalHeaders(method="POST", if_modified_since=AFTER), 200),
        (ConditionalHeaders(if_modified_since=THEN), 304),
        (ConditionalHeaders(if_modified_since=AFTER), 304),
        (ConditionalHeaders(if_modified_since=BEFORE), 200),
        (ConditionalHeaders(if_modified_since="Sunday, 06-Nov-94 08:49:37 GMT"), 304),
        (ConditionalHeaders(if_modified_since="Sun Nov  6 08:49:37 1994"), 304),
        (ConditionalHeaders(if_modified_since=f"{THEN}, {THEN}"), 200),
        (ConditionalHeaders(if_modified_since="Sun, 06 Nov 1994 08:49:37 +0000"), 200),
        (ConditionalHeaders(if_modified_since="Sun, 99 Nov 1994 99:99:99 GMT"), 200),
        (ConditionalHeaders(if_modified_since="Sun, 06 Nov 0000 08:49:37 GMT"), 200),
        (ConditionalHeaders(if_modified_since="Sun, 06 Foo 1994 08:49:37 GMT"), 200),
        (ConditionalHeaders(if_match='"b"', if_none_match=ETAG, range="bytes=0-1"), 412),
        (ConditionalHeaders(if_match=ETAG, if_none_match=ETAG, range="bytes=0-1"), 304),
        (ConditionalHeaders(if_match=ETAG, if_none_match='"b"', range="bytes=0-1"), 206),
        (ConditionalHeaders(if_unmodified_since=AFTER, if_modified_since=BEFORE, range="bytes=0-1"), 206),
        (ConditionalHeaders(range="bytes=0-1", if_range=ETAG), 206),
        (ConditionalHeaders(range="bytes=0-1", if_range=f"W/{ETAG}"), 200),
        (ConditionalHeaders(range="bytes=0-1", if_range='"b"'), 200),
        (ConditionalHeaders(range="bytes=0-1", if_range=f"{ETAG}, {ETAG}"), 200),
        (ConditionalHeaders(range="bytes=0-1", if_range=THEN), 206),
        (ConditionalHeaders(range="bytes=0-1", if_range=AFTER), 200),
        (ConditionalHeaders(range="bytes=0-1", if_range=BEFORE), 200),
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
def test_conditions_come_first_and_in_their_order(asked: ConditionalHeaders, expected: int) -> None:
    """If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since, and then If-Range with Range."""
    assert decide(asked, FILE).status == expected


def test_a_file_whose_time_is_not_known_has_no_dates_to_compare() -> None:
    """Conditions on dates are as if they were not there; a part that hangs on a date is not sent."""
    timeless = Representation(ETAG, None, 1000)

    assert decide(ConditionalHeaders(if_modified_since=AFTER), timeless).status == 200
    assert decide(ConditionalHeaders(if_unmodified_since=BEFORE), timeless).status == 200
    assert decide(ConditionalHeaders(range="bytes=0-1", if_range=THEN), timeless).status == 200


@pytest.mark.parametrize(
    ("asked", "there", "said"),
    [
        ("bytes=1-2", FILE, "bytes 1-2/1000"),
        ("bytes=4294967296-", HUGE, "bytes 4294967296-7516192768/7516192769"),
        ("bytes=1000-", FILE, "bytes */1000"),
        ("bytes=0-", EMPTY, "bytes */0"),
        ("bytes=0-1,2-3", FILE, None),
    ],
)
def test_the_answer_says_which_part_it_is(asked: str, there: Representation, said: str | None) -> None:
    """And of how many bytes, also when there is none."""
    assert decide(ConditionalHeaders(range=asked), there).content_range == said


def test_headers_are_looked_up_by_their_names() -> None:
    """Each has its place."""
    names = ("If-Match", "If-Unmodified-Since", "If-None-Match", "If-Modified-Since", "Range", "If-Range")

    assert ConditionalHeaders.from_headers("HEAD", {name: name for name in names}.get) == ConditionalHeaders(
        "HEAD", *names
    )


HEADER = st.none() | st.text(alphabet='bytes=0123456789-,"W/* \tGMT:SunNov\xff', max_size=40)


@settings(max_examples=300, deadline=None)
@given(st.builds(ConditionalHeaders, st.sampled_from(["GET", "HEAD", "PUT"]), *[HEADER] * 6), st.integers(0, 20))
def test_whatever_is_asked_the_part_lies_in_the_file(asked: ConditionalHeaders, size_bytes: int) -> None:
    """Nothing is raised, and a part has at least one byte."""
    decision = decide(asked, Representation(ETAG, MODIFIED_S, size_bytes))

    assert decision.status in (200, 206, 304, 412, 416)
    assert 0 <= decision.first <= decision.first + decision.count <= size_bytes
    assert (decision.status == 206) <= (decision.count > 0)
    assert (decision.status == 200) <= (decision.count == size_bytes)
