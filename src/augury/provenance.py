"""Marks that say that a picture is synthetic: text chunks in PNG files, comments in animations, unsigned C2PA-style sidecars."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from PIL import Image, PngImagePlugin

from augury import __version__
from augury.files import write_json

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's term for media that a trained model created (NewsCodes, scheme Digital Source Type)."""
COMPOSITE = DIGITAL_SOURCE_TYPE.replace("trained", "compositeWithTrained")
"""IPTC's term for pictures that show such media beside others, such as a photograph beside its inversion."""
SIDECAR = ".c2pa.json"
"""What the name of a sidecar adds to that of its image."""
SOFTWARE = f"Augury {__version__}"
KEYWORD = "augury"
"""Keyword of the text chunk with the facts of one image, as JSON."""
UNNAMED = "software that is not named"
_XMP = "XML:com.adobe.xmp"
_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmp:CreatorTool={tool} Iptc4xmpExt:DigitalSourceType="{source_type}"/>
</rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""
_MARK = b"rainedAlgorithmicMedia"
"""In every form in which a file states it: XMP, IPTC or C2PA; also as compositeWithTrainedAlgorithmicMedia."""
_TOOL = re.compile(rb"""CreatorTool(?:\s*=\s*["']|>)([^"'<>]{1,80})""")


def png_text(facts: Mapping[str, Any], tool: str | None = None, composite: bool = False) -> PngImagePlugin.PngInfo:
    """Text chunks for a synthetic image.

    Parameters
    ----------
    facts
        Plain JSON values: class, seed, index, synthesizer and the like.
    tool
        The program that generated the image; None: this one, "": unknown.
    composite
        Whether the picture shows real images as well.

    Returns
    -------
    The chunks Software, synthetic, DigitalSourceType and augury (tEXt or iTXt), and an XMP packet, for `Image.save(pnginfo=…)`.
    """
    tool = SOFTWARE if tool is None else tool
    source_type = COMPOSITE if composite else DIGITAL_SOURCE_TYPE
    info = PngImagePlugin.PngInfo()
    if tool:
        info.add_text("Software", tool)
    info.add_text("synthetic", "true")
    info.add_text("DigitalSourceType", source_type)
    info.add_itxt(KEYWORD, json.dumps(facts, allow_nan=False, ensure_ascii=False))
    info.add_itxt(_XMP, _PACKET.format(tool=quoteattr(tool or UNNAMED), source_type=source_type))
    return info


def tagged_png(
    picture: Image.Image, facts: Mapping[str, Any], tool: str | None = None, composite: bool = False
) -> bytes:
    """A synthetic picture as PNG with the text chunks of `png_text`; the pixels are those of a PNG without them."""
    file = io.BytesIO()
    picture.save(file, format="PNG", pnginfo=png_text(facts, tool, composite))
    return file.getvalue()


def comment(facts: Mapping[str, Any]) -> str:
    """The same statement as one line, for the comment of a GIF or MP4. What identifies it stands in the first 255 bytes."""
    stated = f'CreatorTool="{SOFTWARE}" DigitalSourceType="{DIGITAL_SOURCE_TYPE}"'
    return f"{stated} {KEYWORD}={json.dumps(facts, allow_nan=False)}"


def synthetic_by(raw: bytes) -> str:
    """The program that created a file that says that it is synthetic; "" for a file that does not say so.

    The bytes of the file are searched for IPTC's digital source type, so files of any format and program are recognised that
    state it uncompressed, as XMP and C2PA do. A file that has lost its metadata cannot be recognised.
    """
    if _MARK not in raw:
        return ""
    tool = _TOOL.search(raw)
    return tool[1].decode("utf-8", "replace").strip() if tool else UNNAMED


def write_sidecar(path: Path, content: bytes, facts: Mapping[str, Any]) -> None:
    """Write the `sidecar` of the image at `path`, atomically."""
    write_json(path.with_name(path.name + SIDECAR), sidecar(path.name, content, facts))


def sidecar(name: str, content: bytes, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Unsigned C2PA-style assertions about a synthetic image, as plain JSON.

    The labels and fields are those of C2PA 2.1 (standard assertions: actions, hash, ingredient). It is no C2PA manifest: nothing
    is signed, so it proves nothing about who wrote it.

    Parameters
    ----------
    name
        File name of the image.
    content
        The bytes of the file, whose SHA-256 binds the assertions to it.
    facts
        As for `png_text`.

    Returns
    -------
    The assertions, for a file called NAME.c2pa.json.
    """
    agent = {"name": "Augury", "version": __version__}
    action = {
        "action": "c2pa.created",
        "digitalSourceType": DIGITAL_SOURCE_TYPE,
        "softwareAgent": agent,
        "parameters": dict(facts),
    }
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    assertions: list[dict[str, Any]] = [
        {"label": "c2pa.actions.v2", "data": {"actions": [action]}},
        {"label": "c2pa.hash.data", "data": {"alg": "sha256", "hash": digest, "exclusions": []}},
    ]
    if "source_name" in facts:
        source = {"title": facts["source_name"], "relationship": "inputTo", "pixels_sha256": facts["source_sha256"]}
        assertions.append({"label": "c2pa.ingredient.v3", "data": source})
    return {
        "signed": False,
        "note": "C2PA-style assertions without a signature; this is not a signed C2PA manifest",
        "claim_generator_info": [agent],
        "title": name,
        "format": "application/dicom" if name.endswith(".dcm") else "image/png",
        "assertions": assertions,
    }
