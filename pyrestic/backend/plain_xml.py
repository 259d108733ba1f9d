"""Reads the XML of object stores into a tree of plain elements.

The sender may be hostile: a document type is refused, so no entity is ever expanded, and so are depth and number of
elements that no listing has. Namespaces are dropped.
"""

from dataclasses import dataclass, field
from xml.parsers import expat

from pyrestic.errors import FormatError

MAX_DEPTH = 32
MAX_ELEMENTS = 200_000


@dataclass(slots=True)
class Element:
    """An element: its local name, its own text, its children in order."""

    name: str
    text: str = ""
    children: "list[Element]" = field(default_factory=list)

    def find(self, name: str) -> "Element | None":
        """Return the first child of that name, None if there is none."""
        return next((child for child in self.children if child.name == name), None)

    def find_all(self, name: str) -> "list[Element]":
        """Return the children of that name."""
        return [child for child in self.children if child.name == name]

    def read(self, *names: str) -> str:
        """Return the text of the element that a path of names leads to, "" if there is none."""
        element: Element | None = self
        for name in names:
            if element is None:
                return ""
            element = element.find(name)
        return "" if element is None else element.text


def parse_xml(data: bytes) -> Element:
    """Return the root of a document; raise FormatError."""
    builder = _Builder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.take_text
    parser.StartDoctypeDeclHandler = builder.refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise FormatError(f"XML: line {error.lineno} is not well-formed") from error
    except (ValueError, LookupError) as error:
        # Among them an encoding that Python does not know.
        raise FormatError(f"XML: {error}") from error
    if builder.root is None:
        raise FormatError("XML: there is no element")
    return builder.root


class _Builder:
    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._texts: list[list[str]] = []
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:  # noqa: ARG002 - as expat calls it
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) >= MAX_DEPTH:
            raise FormatError("XML: there are too many elements")
        element = Element(name.rpartition(":")[2])
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)
        self._texts.append([])

    def end(self, name: str) -> None:  # noqa: ARG002 - as expat calls it
        self._open.pop().text = "".join(self._texts.pop())

    def take_text(self, text: str) -> None:
        self._texts[-1].append(text)

    def refuse(self, *_: object) -> None:
        raise FormatError("XML: it has a document type")
