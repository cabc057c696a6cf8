"""Sanitizing of untrusted texts."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.library.sanitize import (
    ALLOWED_SCHEMES,
    ALLOWED_TAGS,
    MAX_LINE_CHARS,
    MAX_TEXT_CHARS,
    clean_line,
    sanitize_html,
)

REL = "noopener noreferrer nofollow ugc"
VECTORS = [
    "<script>alert(1)</script>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=x onerror=alert(1)>",
    '<img src="https://tracker.test/beacon.gif">',
    '<a href="javascript:alert(1)">x</a>',
    '<a href=" jAvAsCrIpT&#58;alert(1)">x</a>',
    '<a href="java\tscript:alert(1)">x</a>',
    '<a href="java\x00script:alert(1)">x</a>',
    '<a href="data:text/html;base64,PHNjcmlwdD4=">x</a>',
    '<a href="vbscript:msgbox(1)">x</a>',
    '<a href="/api/v1/auth/regenerate">x</a>',
    '<a href="//evil.test/">x</a>',
    '<a href="https://x.test/" target="_blank" onclick="alert(1)" style="position:fixed">x</a>',
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<svg/onload=alert(1)>",
    "<svg><a xlink:href='javascript:alert(1)'>x</a></svg>",
    '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">',
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>">',
    '<xmp><p title="</xmp><img src=x onerror=alert(1)>">',
    "<textarea><script>alert(1)</script></textarea>",
    '<p style="background:url(javascript:alert(1))" class="a" id="b" data-x="1">t</p>',
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data=x></object><embed src=x><base href=//evil.test><meta http-equiv=refresh content=0>",
    "<template><script>alert(1)</script></template>",
    "<!--><script>alert(1)</script>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    '<p title="x" lang="en">t</p>',
    "<b/onmouseover=alert(1)>x</b>",
    '<b id=">" onclick=alert(1)>x</b>',
    "\ud800<b>x</b>",
]


class TagCollector(HTMLParser):
    """Collects the tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect a tag and its attributes."""
        self.tags.append((tag, dict(attrs)))


def assert_safe(html: str) -> None:
    """Assert that only allowed tags remain, and only links have attributes: rel and an absolute URL."""
    collector = TagCollector()
    collector.feed(html)
    for tag, attributes in collector.tags:
        assert tag in ALLOWED_TAGS
        assert set(attributes) <= ({"href", "rel"} if tag == "a" else set())
        assert attributes.get("rel", REL) == REL
        assert (attributes.get("href") or "https:").split(":")[0] in ALLOWED_SCHEMES


@pytest.mark.parametrize("vector", VECTORS)
def test_attack_vectors_are_removed(vector: str) -> None:
    """The result does not run, fetch or frame anything, or link to this site."""
    cleaned = sanitize_html(vector)
    assert_safe(cleaned)
    assert sanitize_html(cleaned) == cleaned


@given(st.lists(st.sampled_from([*VECTORS, "<p>", "</p>", "<", ">", '"', "'", "<!--", "-->", "</svg>", "&lt;"])))
def test_combined_attack_vectors_are_removed(pieces: list[str]) -> None:
    """They may be nested and torn in any way."""
    assert_safe(sanitize_html("".join(pieces)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<p>A <strong>fine</strong> one<br></p>", "<p>A <strong>fine</strong> one<br></p>"),
        ('<a href="https://x.test/?a=1&b=2">x</a>', f'<a href="https://x.test/?a=1&amp;b=2" rel="{REL}">x</a>'),
        ('<a href="mailto:a@b.c">x</a>', f'<a href="mailto:a@b.c" rel="{REL}">x</a>'),
        ("<h1>T</h1><ul><li>a</li></ul><pre><code>x</code></pre><hr>", None),
        ('<span style="color:red">red</span>', "red"),
        ("# Title\n\n**bold** & [x](javascript:alert(1)) <b>b</b>", None),
        ("a < b", "a &lt; b"),
        ('<img src="https://x.test/a.png">after', "after"),
        ("", ""),
    ],
)
def test_harmless_markup_is_kept(text: str, expected: str | None) -> None:
    """Markdown stays as it is; pages do not render it."""
    assert sanitize_html(text) == (text.replace("&", "&amp;") if expected is None else expected)


def test_growth_and_nesting_are_bounded() -> None:
    """Parsers repeat open formatting in every paragraph, and nesting costs quadratic time."""
    differing = "<p>" + "".join(f"<b id={n}>" for n in range(2000)) + "<p>x" * 2000
    assert len(sanitize_html(differing)) < 5 * len(differing)
    deep = sanitize_html("<ul><li>" * 25_000)
    assert len(re.findall("<[a-z]", deep)) <= 8000


def test_length_is_bounded() -> None:
    """Texts and lines have limits."""
    assert len(sanitize_html("x" * 10**6)) == MAX_TEXT_CHARS
    assert len(clean_line("x" * 10**6)) == MAX_LINE_CHARS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  a \r\n\tb ", "a b"),
        ("a\x00b\x1b[31m", "a b [31m"),
        ("safe\u202egpj.exe", "safegpj.exe"),
        ("\ud800", ""),
        ("<b>&amp;", "<b>&amp;"),
        ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),
    ],
)
def test_lines_are_single_lines(text: str, expected: str) -> None:
    """Bidirectional controls are removed; markup stays, as the result is text."""
    assert clean_line(text) == expected


@given(st.text(st.characters(), max_size=300))
def test_cleaning_a_line_is_idempotent(text: str) -> None:
    """The result can be encoded."""
    cleaned = clean_line(text)
    assert clean_line(cleaned) == cleaned
    assert cleaned.encode().decode().isprintable() or not cleaned.isascii()
