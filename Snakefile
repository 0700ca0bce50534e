# The workflow lies where the Snakemake workflow catalog looks for it. docs/workflow.md explains it.
include: "workflow/Snakefile"


# Snakemake takes no rule of an included file for the first one.
workflow.default_target = "all"
