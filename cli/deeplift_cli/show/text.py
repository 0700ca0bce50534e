"""The content of a score file as lines of text."""

import textwrap

from deeplift_cli.outputs.attributes import plain_value
from deeplift_cli.outputs.score_reader import ScoreReader
from deeplift_cli.process.terminal_text import printable
from deeplift_cli.sequences.names import printed
from deeplift_cli.sequences.records import Region
from deeplift_cli.show.contents import Contents, Explained
from deeplift_cli.show.table import target_text

_LABEL = 18
_WIDTH = 100
_DIGEST = 12  # characters of a model's SHA-256
_OPTIONS_ABOVE = ("--rule", "--reference", "--n-references", "--seed", "--target")


def facts(reader: ScoreReader) -> list[tuple[str, str]]:
    """Return what was scored and how: labels and values, control characters escaped."""
    attrs, layout = reader.attrs, reader.layout
    rows = [
        ("sequences", f"{reader.n_rows:,} of {layout.length:,} bp; {reader.n_skipped:,} skipped"),
        ("references", _references(reader)),
        ("target", target_text(reader.target)),
        ("rule", attrs.get("rule")),
        ("model", _model(reader)),
        ("scored from", _input(reader)),
        *_parts(reader),
        ("options", _options(reader)),
        ("written by", _versions(reader)),
    ]
    return [(label, printable(str(value))) for label, value in rows]


def as_lines(contents: Contents) -> list[str]:
    """Return the table of one file."""
    reader = contents.reader
    layout = reader.layout
    rows = [
        *facts(reader),
        *_quality(contents),
        ("checksums", "in the file" if reader.checksums else "none: an early version wrote the file"),
    ]
    lines = [printable(str(reader.path))]
    for label, value in rows:
        lines += _wrapped(label, value)
    lines += ["", "  dataset                   type      shape"]
    for name, kind in layout.datasets.items():
        shape = ", ".join(f"{size:,}" for size in (reader.n_rows, *kind.rest))
        lines.append(f"  {name:<24}  {kind.dtype or 'text'!s:<8}  [{shape}]")
    if contents.top:
        difference = f"{'difference':>10}  " if layout.has_references else ""
        lines += ["", f"  {_strongest(reader)}", f"  {difference}{'output':>10}  region"]
        lines += [_top(one) for one in contents.top]
    return lines


def place(region: Region) -> str:
    """Return a window as text, without the name."""
    strand = "" if region.strand == "." else f" ({region.strand})"
    return f"{printed(region.chrom)}:{region.start}-{region.end}{strand}"


def _wrapped(label: str, text: str) -> list[str]:
    width = _WIDTH - _LABEL - 4
    parts = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"  {'' if row else label:<{_LABEL}}  {part}" for row, part in enumerate(parts)]


def _strongest(reader: ScoreReader) -> str:
    """Return the heading above the regions, which says what the numbers are."""
    if not reader.layout.has_references:
        return "the regions with the largest outputs of the model"
    return "the regions whose output differs most from the mean output of their references"


def _top(one: Explained) -> str:
    difference = "" if one.difference is None else f"{one.difference:+10.4g}  "
    return f"  {difference}{one.output:10.4g}  {printed(one.region.name)}  {place(one.region)}"


def _references(reader: ScoreReader) -> str:
    if not reader.layout.has_references:
        return "none: in-silico mutagenesis"
    attrs = reader.attrs
    return f"{attrs.get('reference')}, {reader.layout.n_references:,} each, seed {attrs.get('seed')}"


def _quality(contents: Contents) -> list[tuple[str, str]]:
    """Return the lines about references, of which in-silico mutagenesis has none."""
    if contents.reader.worst is None or contents.identical is None:
        return []
    return [
        ("summation-to-delta", f"worst relative error {contents.reader.worst:.1e}"),
        ("identical", f"{contents.identical:.2%} of the references equal their own sequence"),
    ]


def _model(reader: ScoreReader) -> str:
    digests = reader.model if isinstance(reader.model, list) else [reader.model]
    names = plain_value(reader.attrs.get("model"))
    named = names if isinstance(names, list) and len(names) == len(digests) else [names] * len(digests)
    pairs = zip(named, digests, strict=True)
    return "; ".join(f"{printed(str(name))} (SHA-256 {digest[:_DIGEST]}...)" for name, digest in pairs)


def _input(reader: ScoreReader) -> str:
    given = {key: plain_value(reader.attrs.get(key)) for key in ("fasta", "genome", "regions")}
    return ", ".join(printed(str(path)) for path in given.values() if path is not None) or "?"


def _parts(reader: ScoreReader) -> list[tuple[str, str]]:
    if reader.shard is not None:
        return [("shard", f"{reader.shard}; deeplift merge puts all of them together")]
    for key, label in (("averaged_from", "average of"), ("merged_from", "merged from")):
        names = plain_value(reader.attrs.get(key))
        if isinstance(names, list):
            shown = ", ".join(printed(str(name)) for name in names[:3])
            return [(label, f"{len(names)} files: {shown}{', ...' if len(names) > 3 else ''}")]
    return []


def _options(reader: ScoreReader) -> str:
    """Return the other options that scores depend on, as in `deeplift score`, if they are set."""
    words = []
    for name, value in reader.fingerprint.items():
        if not name.startswith("--") or name in _OPTIONS_ABOVE or value in (None, False, []):
            continue
        words.append(name if value is True else f"{name} {printed(str(value))}")
    return " ".join(words) or "unknown: the file does not hold them"


def _versions(reader: ScoreReader) -> str:
    versions = plain_value(reader.attrs.get("versions"))
    if not isinstance(versions, dict):
        return "unknown"
    return ", ".join(f"{printed(str(name))} {printed(str(value))}" for name, value in versions.items())
