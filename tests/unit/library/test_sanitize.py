"""What of strangers' texts reaches a page."""

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


class Seen(HTMLParser):
    """What a page would be made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag and its attributes."""
        self.tags.append((tag, dict(attrs)))


def check_harmless(html: str) -> None:
    """Only tags that are allowed; only links have attributes: a rel, and an address elsewhere."""
    seen = Seen()
    seen.feed(html)
    for tag, attributes in seen.tags:
        assert tag in ALLOWED_TAGS
        assert set(attributes) <= ({"href", "rel"} if tag == "a" else set())
        assert attributes.get("rel", REL) == REL
        assert (attributes.get("href") or "https:").split(":")[0] in ALLOWED_SCHEMES


@pytest.mark.parametrize("vector", VECTORS)
def test_nothing_that_runs_is_left(vector: str) -> None:
    """Nor anything that fetches, frames or leads back to us."""
    cleaned = sanitize_html(vector)
    check_harmless(cleaned)
    assert sanitize_html(cleaned) == cleaned


@given(st.lists(st.sampled_from([*VECTORS, "<p>", "</p>", "<", ">", '"', "'", "<!--", "-->", "</svg>", "&lt;"])))
def test_nothing_that_runs_is_left_of_a_mixture(pieces: list[str]) -> None:
    """However the vectors are nested and torn."""
    check_harmless(sanitize_html("".join(pieces)))


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
def test_what_describes_a_model_is_left(text: str, expected: str | None) -> None:
    """Of Markdown all that is no HTML; no test stands for what a page would make of its links: none is made."""
    assert sanitize_html(text) == (text.replace("&", "&amp;") if expected is None else expected)


def test_a_text_that_would_grow_does_not() -> None:
    """Open formatting is repeated in every paragraph, nesting costs its square: both are bounded."""
    differing = "<p>" + "".join(f"<b id={n}>" for n in range(2000)) + "<p>x" * 2000
    assert len(sanitize_html(differing)) < 5 * len(differing)
    deep = sanitize_html("<ul><li>" * 25_000)
    assert len(re.findall("<[a-z]", deep)) <= 8000


def test_a_text_is_bounded() -> None:
    """Whatever a sidecar holds."""
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
def test_a_line_is_one_line(text: str, expected: str) -> None:
    """Without marks that turn its direction; it is text, so that what looks like HTML stays."""
    assert clean_line(text) == expected


@given(st.text(st.characters(), max_size=300))
def test_lines_stay_as_they_are_when_cleaned_again(text: str) -> None:
    """And can be encoded."""
    cleaned = clean_line(text)
    assert clean_line(cleaned) == cleaned
    assert cleaned.encode().decode().isprintable() or not cleaned.isascii()
