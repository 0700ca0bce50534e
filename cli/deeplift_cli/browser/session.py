"""The session for IGV, the desktop program.

IGV reads paths of a session relative to the session's own folder, and draws a bigWig as letters if the
attribute `renderer` of its track is DYNSEQ (`RendererFactory` and `IGVSessionReader` in IGV's source).
"""

from xml.etree import ElementTree

from deeplift_cli.browser.contents import LETTERS, Contents, locus_text

_HEIGHT = 120  # pixels of a track of letters


def igv_session(contents: Contents) -> bytes:
    """Return the session as XML.

    The genome is the assembly, which IGV loads with its genes, or the letters in the folder where the
    assembly is not known.
    """
    root = ElementTree.Element(
        "Session",
        genome=contents.assembly or LETTERS,
        locus=locus_text(contents.locus),
        version="8",
        hasGeneTrack=str(contents.assembly is not None).lower(),
        hasSequenceTrack="true",
    )
    resources = ElementTree.SubElement(root, "Resources")
    signals = ElementTree.SubElement(root, "Panel", name="DataPanel")
    for signal in contents.signals:
        ElementTree.SubElement(resources, "Resource", path=signal.file, type="bigwig")
        group = {"autoscaleGroup": "1"} if len(contents.signals) > 1 else {}
        ElementTree.SubElement(
            signals,
            "Track",
            {
                "id": signal.file, "name": signal.name, "renderer": "DYNSEQ", "height": str(_HEIGHT),
                "autoScale": "true", "visible": "true", "windowFunction": "mean",
            } | group,
        )  # fmt: skip
    for annotation in contents.annotations:
        ElementTree.SubElement(resources, "Resource", path=annotation.file, type="bed")
        ElementTree.SubElement(
            signals, "Track", id=annotation.file, name=annotation.name, displayMode="EXPANDED", visible="true"
        )
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return text + b"\n"
