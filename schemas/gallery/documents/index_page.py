"""The page of an exported collection: it opens from disk, without a server, a script or a request to anywhere."""

from collections.abc import Mapping
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; max-width: 80rem; padding: 1.5rem; font: 1rem/1.5 system-ui, sans-serif; }
ul { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fill, minmax(min(16rem, 100%), 1fr)); padding: 0; }
li { list-style: none; }
img, video { width: 100%; height: auto; border-radius: .5rem; }
h2 { font-size: 1rem; margin: .5rem 0 0; overflow-wrap: anywhere; }
p, dd { overflow-wrap: anywhere; white-space: pre-line; margin: .25rem 0; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 0 .75rem; margin: .5rem 0; font-size: .875rem; }
dt { opacity: .7; } dd { margin: 0; }
details summary { cursor: pointer; }
"""
# No script runs, whatever the texts contain.
POLICY = "script-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-src 'none'"


PAGE_END = """</ul>
</main>
</body>
</html>
"""


def render_start(name: str, description: str) -> str:
    """Return what stands before the first token of a collection's page; ``PAGE_END`` follows the last one."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">
<meta name="referrer" content="no-referrer">
<title>{escape(name)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{escape(name)}</h1>
<p>{escape(description)}</p>
<ul>
"""


def render_item(entry: Mapping[str, Any], *, explicit: bool) -> str:
    """Return a token on the page. An explicit picture is behind a click.

    ``entry`` is that of ``collection.json`` with ``facts`` (pairs of label and text), ``prompt`` (None if it is private
    or unknown), ``type``, ``width`` and ``height`` of the picture.
    """
    picture = _picture(entry)
    if explicit and entry["picture"]:
        picture = f"<details><summary>Explicit: show the picture</summary>{picture}</details>"
    rows = [*entry["facts"], *((_label(each), str(each["value"])) for each in entry["attributes"])]
    facts = "".join(f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>" for label, text in rows)
    prompt = f"<details><summary>Prompt</summary><p>{escape(entry['prompt'])}</p></details>" if entry["prompt"] else ""
    description = f"<p>{escape(entry['description'])}</p>" if entry["description"] else ""
    return f"<li>{picture}<h2>{escape(entry['name'])}</h2>{description}{prompt}<dl>{facts}</dl></li>\n"


def _label(attribute: Mapping[str, Any]) -> str:
    return str(attribute.get("trait_type") or "Property")


def _picture(entry: Mapping[str, Any]) -> str:
    if not entry["picture"]:
        return "<p>No picture.</p>"
    size = f' width="{int(entry["width"] or 0)}" height="{int(entry["height"] or 0)}"' if entry["width"] else ""
    source, text = escape(entry["picture"], quote=True), escape(entry["name"], quote=True)
    if str(entry["type"]).startswith("video/"):
        return f'<video src="{source}" controls preload="metadata" aria-label="{text}"{size}></video>'
    return f'<a href="{source}"><img src="{source}" alt="{text}" loading="lazy"{size}></a>'
