"""A bigWig of a score file; run by Snakemake."""

import sys
from pathlib import Path
from typing import Any

from deeplift_cli.errors import UserError
from deeplift_cli.outputs.chrom_sizes import read_chrom_sizes
from deeplift_cli.outputs.export import write_output
from deeplift_cli.sequences.genome import Genome


def main(job: Any) -> None:
    """Write the job's output."""
    table = job.input.get("chrom_sizes")
    sizes = read_chrom_sizes(Path(table)) if table else Genome(Path(job.input.genome), print).sizes
    given = {"overlap": job.params.overlap}
    write_output("bigwig", Path(job.output[0]), Path(job.input.scores), sizes, given, overwrite=False)


if __name__ == "__main__":
    job = globals()["snakemake"]  # put there by Snakemake
    sys.stdout = sys.stderr = open(job.log[0], "w", buffering=1)  # noqa: SIM115 - to the end of the process
    try:
        main(job)
    except UserError as error:
        sys.exit(f"Error: {error}")
