"""The XML documents of OSS: written from nested pairs, and read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias
from xml.etree import ElementTree

from tidemark.simulator.oss.errors import refuse

__all__ = ["Fields", "read_xml", "write_xml"]

Fields: TypeAlias = Iterable[tuple[str, "str | Fields"]]
"""Elements in their order: a name, and a text or elements of its own."""


def write_xml(name: str, fields: str | Fields) -> bytes:
    """A document with this root."""
    root = _element(name, fields)
    data: bytes = ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return data


def read_xml(data: bytes, name: str) -> ElementTree.Element:
    """The root of a document. Refuses one without this root, and what might grow as it is read."""
    try:
        if b"<!" in data:
            raise ElementTree.ParseError("holds a declaration")
        root = ElementTree.fromstring(data)
        if root.tag.rpartition("}")[2] != name:
            raise ElementTree.ParseError(f"is no {name}")
    except ElementTree.ParseError:
        refuse(
            400,
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published "
            "schema.",
        )
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def _element(name: str, fields: str | Fields) -> ElementTree.Element:
    element = ElementTree.Element(name)
    if isinstance(fields, str):
        element.text = fields
    else:
        element.extend([_element(*field) for field in fields])
    return element
