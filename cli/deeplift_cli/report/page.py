"""The page as one HTML file: its template, style, script and data, which load nothing from elsewhere.

Names of records come from files of other people. In HTML they are escaped; in scripts they are data in JSON
or base64, and never part of the page's code. A content security policy runs only the page's own script and
style sheet, which it names by their SHA-256, and allows no connection at all.
"""

import json

from deeplift_cli.markup import escaped, policy_source, script_json
from deeplift_cli.process.terminal_text import printable
from deeplift_cli.report.content import Report
from deeplift_cli.report.listing import logo_text, table_text
from deeplift_cli.report.marks import marks_text
from deeplift_cli.report.page_files import page_file
from deeplift_cli.report.sections import sections_of
from deeplift_cli.report.sections.best import COUNT, FIRST_VIEW
from deeplift_cli.report.sections.overview import overview

# What the page shows, by whether the scores compare sequences with references.
_KINDS = {True: "DeepLIFT contribution scores", False: "Scores of in-silico mutagenesis"}


def page(report: Report) -> bytes:
    """Return the HTML of a report."""
    style, script = page_file("report.css"), page_file("report.js")
    settings = {
        "letters": json.loads(page_file("letters.json")),
        "length": report.reader.layout.length,
        "best": COUNT,
        "firstView": FIRST_VIEW,
        "file": printable(report.reader.path.name),
        "regions": report.reader.n_rows,
    }
    made = sections_of(report)
    content = "".join(
        f'<section id="{section.id}"><h2>{escaped(section.title)}</h2>{section.body}</section>'
        for section in made
    )
    links = "".join(f'<a href="#{section.id}">{escaped(section.title)}</a>' for section in made)
    policy = (
        f"default-src 'none'; script-src {policy_source(script)}; style-src {policy_source(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": policy,
        "title": escaped(report.title),
        "kind": _KINDS[report.reader.layout.has_references],
        "file": escaped(printable(report.reader.path.name)),
        "style": style,
        "links": links,
        "overview": overview(report),
        "sections": content,
        "settings": script_json(settings),
        "table": table_text(report.listing, report.numbers, report.contributions, report.quality.noise),
        "script": script,
        "logos": logo_text(report.listing),
        "marks": marks_text(report.marks, report.listing.logos),
    }
    return page_file("report.html").format_map(parts).encode()
