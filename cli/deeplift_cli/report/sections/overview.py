"""The numbers at the head of the page."""

import numpy as np

from deeplift_cli.markup import escaped
from deeplift_cli.report.content import Report
from deeplift_cli.report.sections.base import shown_text
from deeplift_cli.show.table import target_text


def overview(report: Report) -> str:
    """Return the numbers as HTML."""
    reader, quality = report.reader, report.quality
    tiles = [
        ("sequences", f"{reader.n_rows:,}", f"of {reader.layout.length:,} bp"),
        ("skipped", f"{quality.skipped.count:,}", "records"),
        ("target", target_text(reader.target), f"rule {reader.attrs.get('rule')}"),
    ]
    if quality.of_references is None:
        tiles.append(("references", "none", "in-silico mutagenesis"))
    else:
        kind = f"each, {reader.attrs.get('reference')}"
        tiles.append(("references", f"{reader.layout.n_references:,}", kind))
        tiles.append(("error of sums", f"{quality.of_references.worst:.1e}", "worst relative"))
    if quality.noise is not None and np.isfinite(quality.noise).any():
        tiles.append(
            ("noise of references", f"{np.nanmedian(quality.noise):.0%}", "of contributions, median")
        )
    items = (
        f"<div><dt>{escaped(label)}</dt><dd>{shown_text(value)}</dd>"
        f'<dd class="small">{shown_text(more)}</dd></div>'
        for label, value, more in tiles
    )
    return f'<dl class="tiles">{"".join(items)}</dl>'
