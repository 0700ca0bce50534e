"""The quality of the scores: sums, noise of references, skipped records, predictions."""

import numpy as np

from deeplift_cli.report.charts import histogram
from deeplift_cli.report.content import Report
from deeplift_cli.report.quality import Reason, ReferenceQuality, Skipped
from deeplift_cli.report.sections.base import Section, definitions, figure, plural, shown_text, table

_REASONS = 10  # that are listed
_MUTAGENESIS = (
    "In-silico mutagenesis compares each sequence with its own mutants: there are no references, and "
    "contributions need not sum to a difference in output."
)


def section(report: Report) -> Section:
    """Return the section."""
    quality, numbers = report.quality, report.numbers
    told, rows = "", [("skipped records", _skipped(quality.skipped))]
    if quality.of_references is None:
        told = f"<p>{_MUTAGENESIS}</p>"
    else:
        rows = [*_against_references(quality.of_references, str(report.reader.attrs.get("rule"))), *rows]
    figures = [("What the model predicts", "prediction", numbers.prediction)]
    against = numbers.against_references
    if against is None:
        figures.append(("What is explained", "output", numbers.output))
    else:
        explained = "What is explained: the sum of contributions"
        figures.append((explained, "output minus references", against.difference))
    if quality.noise is not None:
        figures.append(("Noise, as a share of the contributions", "relative noise", quality.noise))
    drawn = "".join(figure(histogram(values, label), caption) for caption, label, values in figures)
    reasons = _reasons(quality.skipped.reasons) if quality.skipped.reasons else ""
    return Section(
        "quality", "Quality", f'{told}{definitions(rows)}{reasons}<div class="figures three">{drawn}</div>'
    )


def _against_references(quality: ReferenceQuality, rule: str) -> list[tuple[str, str]]:
    return [
        ("summation-to-delta", _sums(quality, rule)),
        ("computed again in float64", _rescored(quality)),
        ("references equal to their sequence", _identical(quality)),
        ("noise of references", _noise(quality)),
    ]


def _sums(quality: ReferenceQuality, rule: str) -> str:
    found = f"worst relative error {quality.worst:.1e}; largest absolute error {quality.largest_error:.1e}"
    return f"not promised by the rule {rule}; {found}" if quality.is_exempt else found


def _rescored(quality: ReferenceQuality) -> str:
    if quality.rescored is None:
        return "not recorded"
    pairs = f"{plural(quality.pairs, 'pair')} of a sequence and a reference"
    return f"{quality.rescored:,} of {pairs}" if quality.rescored else f"none of {pairs}"


def _identical(quality: ReferenceQuality) -> str:
    if not quality.identical:
        return f"none of {quality.pairs:,}"
    return (
        f"{quality.identical:,} of {quality.pairs:,} ({quality.identical / quality.pairs:.2%}), of "
        f"{plural(quality.with_identical, 'sequence')}; such a reference adds nothing to the contributions"
    )


def _noise(quality: ReferenceQuality) -> str:
    if quality.noise is None:
        return "unknown, as the file does not hold standard errors over references"
    finite = quality.noise[np.isfinite(quality.noise)]
    if not finite.size:
        return "unknown, as all contributions are 0"
    middle, high = np.quantile(finite, (0.5, 0.9))
    return (
        f"the standard error over the references is {middle:.1%} of the contributions in the median "
        f"sequence, and at most {high:.1%} in nine of ten (both as root mean squares over positions); more "
        "references make it smaller"
    )


def _skipped(skipped: Skipped) -> str:
    if not skipped.count:
        return "none"
    if skipped.reasons is None:
        return f"{skipped.count:,}; {skipped.path.name}, which has the reasons, is not beside the score file"
    return f"{skipped.count:,}"


def _reasons(reasons: list[Reason]) -> str:
    caption = "Skipped records by reason"
    if len(reasons) > _REASONS:
        caption += f"; the {_REASONS} most frequent of {len(reasons):,} reasons"
    rows = ([f"{one.count:,}", shown_text(one.text), shown_text(one.example)] for one in reasons[:_REASONS])
    return table(caption, ("records", "the record ...", "for example"), rows, "reasons")
