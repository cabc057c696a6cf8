"""The texts of an XMP packet: descriptions and comments, which some image generators put their parameters into.

Source: the XMP specification (ISO 16684-1). Packets are untrusted XML: they are read without a tree, and one with a
document type, which could define entities, is not read. A damaged packet gives the texts before the damage.
"""

import contextlib
from dataclasses import dataclass, field
from xml.parsers import expat

PNG_KEYWORD = "XML:com.adobe.xmp"
JPEG_HEADER = b"http://ns.adobe.com/xap/1.0/\0"
GIF_APPLICATION = b"XMP DataXMP"
MEDIA_TYPE = b"application/rdf+xml"
START, END = b"<x:xmpmeta", b"</x:xmpmeta>"
# Names of properties, whatever their namespace, in the order of preference.
PROPERTIES = ("UserComment", "parameters", "prompt", "ImageDescription", "description")
NAMESPACE_SEPARATOR = " "
MAX_TEXTS = 20


class _DocumentTypeError(Exception):
    """The packet declares a document type."""


@dataclass(slots=True)
class _PropertyCollector:
    """Collects the texts of properties, which are attributes, or elements with the text in them or in a list item."""

    texts: list[tuple[str, str]] = field(default_factory=list)
    # The property that is open, how many elements are open within it, and its text so far.
    name: str | None = None
    depth: int = 0
    parts: list[str] = field(default_factory=list)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self.name is not None:
            self.depth += 1
            return
        for attribute, value in attributes.items():
            self.add(_local_name(attribute), value)
        if _local_name(name) in PROPERTIES:
            self.name, self.depth, self.parts = _local_name(name), 0, []

    def data(self, text: str) -> None:
        if self.name is not None:
            self.parts.append(text)

    def end(self, _name: str) -> None:
        if self.name is None:
            return
        if self.depth:
            self.depth -= 1
            return
        self.add(self.name, "".join(self.parts))
        self.name = None

    def add(self, name: str, text: str) -> None:
        if name in PROPERTIES and text.strip() and len(self.texts) < MAX_TEXTS:
            self.texts.append((name, text.strip()))


def read_xmp_texts(packet: bytes) -> list[str]:
    """Return the texts of a packet, those in a property that programs use for parameters first."""
    collector = _PropertyCollector()
    # Expat is the parser of Python's own; document types, and with them entities, are refused.
    parser = expat.ParserCreate(namespace_separator=NAMESPACE_SEPARATOR)
    parser.StartElementHandler, parser.EndElementHandler = collector.start, collector.end
    parser.CharacterDataHandler = collector.data
    parser.StartDoctypeDeclHandler = _refuse_document_type
    with contextlib.suppress(expat.ExpatError, _DocumentTypeError, LookupError, ValueError):
        parser.Parse(packet.strip(b"\0 \t\r\n"), True)  # noqa: FBT003 - the last part
    ordered = sorted(collector.texts, key=lambda text: PROPERTIES.index(text[0]))
    return list(dict.fromkeys(text for _, text in ordered))


def find_packet(data: bytes) -> bytes:
    """Return the packet within other data; empty if there is none."""
    start = data.find(START)
    end = data.find(END, start)
    return data[start : end + len(END)] if 0 <= start < end else b""


def _local_name(name: str) -> str:
    return name.rpartition(NAMESPACE_SEPARATOR)[2]


def _refuse_document_type(*_arguments: object) -> None:
    raise _DocumentTypeError
