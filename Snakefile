# Contribution scores of many samples: shards are scored by jobs of their own and merged, folds are averaged.
# docs/workflow.md explains it; config/config.yaml says what to score.
from snakemake.utils import min_version

min_version("9.0")


# A file given by --configfile stands for itself: merged into this one, it would bring its samples along.
if "samples" not in config:

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"


localrules:
    all,
    report,


wildcard_constraints:
    sample=pattern(SAMPLES),
    fold=r"\d+",
    shard=r"\d+",
    shards=r"\d+",
    target=r"\d+(-\d+)*",


rule all:
    input:
        results("scores_{target}.h5", SAMPLES),
        results("scores_{target}.bw", WITH_BIGWIG),
        results("modisco_{target}.h5", WITH_MODISCO),
        ["results/report.tsv"] if config["report"] else [],


# All targets of a sample are scored together, as they share most of the work; so the output is a folder, with a
# file for each target. Scores are made beside it and moved when they are whole: Snakemake deletes the outputs of
# a job that fails, while the finished batches in the folder ".unfinished" are where the next attempt goes on.
rule score_shard:
    input:
        model=model,
        sequences=sequences,
    output:
        temp(directory("results/{sample}/shards/{fold}/{shard}-of-{shards}")),
    log:
        "results/{sample}/logs/score_fold{fold}_{shard}-of-{shards}.log",
    benchmark:
        "results/{sample}/benchmarks/score_fold{fold}_{shard}-of-{shards}.tsv"
    conda:
        "workflow/envs/deeplift.yaml"
    threads: lambda wildcards: setting(wildcards, "threads")
    resources:
        mem_mb=lambda wildcards, attempt: attempt * setting(wildcards, "mem_mb"),
        runtime=lambda wildcards: setting(wildcards, "runtime"),
        gpu=lambda wildcards: int(setting(wildcards, "gpu")),
    params:
        unfinished=lambda wildcards, output: f"{output}.unfinished",
        options=options,
        device=lambda wildcards: "cuda" if setting(wildcards, "gpu") else "cpu",
    shell:
        "(mkdir -p {params.unfinished:q};"
        " deeplift score --model {input.model:q} {params.options}"
        " --shard {wildcards.shard}/{wildcards.shards} --device {params.device} --threads {threads}"
        " --resume --overwrite --out {params.unfinished:q}/'scores_{{target}}.h5';"
        " mv {params.unfinished:q} {output:q}) &> {log:q}"


# Puts the shards of a sample's only model together.
rule merge_shards:
    input:
        shards,
    output:
        scores="results/{sample}/scores_{target}.h5",
        windows="results/{sample}/scores_{target}.bed",
        skipped="results/{sample}/scores_{target}.skipped.tsv",
    log:
        "results/{sample}/logs/merge_{target}.log",
    benchmark:
        "results/{sample}/benchmarks/merge_{target}.tsv"
    wildcard_constraints:
        sample=pattern(SINGLE),
    conda:
        "workflow/envs/deeplift.yaml"
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        parts=lambda wildcards, input: [f"{folder}/scores_{wildcards.target}.h5" for folder in input],
    shell:
        "deeplift merge {params.parts:q} --out {output.scores:q} &> {log:q}"


# Likewise for each of several models.
use rule merge_shards as merge_fold with:
    output:
        scores="results/{sample}/folds/{fold}/scores_{target}.h5",
        windows="results/{sample}/folds/{fold}/scores_{target}.bed",
        skipped="results/{sample}/folds/{fold}/scores_{target}.skipped.tsv",
    log:
        "results/{sample}/logs/merge_fold{fold}_{target}.log",
    benchmark:
        "results/{sample}/benchmarks/merge_fold{fold}_{target}.tsv"
    wildcard_constraints:
        sample=pattern(FOLDED),


rule average_folds:
    input:
        folds,
    output:
        scores="results/{sample}/scores_{target}.h5",
        windows="results/{sample}/scores_{target}.bed",
        skipped="results/{sample}/scores_{target}.skipped.tsv",
    log:
        "results/{sample}/logs/average_{target}.log",
    benchmark:
        "results/{sample}/benchmarks/average_{target}.tsv"
    wildcard_constraints:
        sample=pattern(FOLDED),
    conda:
        "workflow/envs/deeplift.yaml"
    resources:
        mem_mb=4000,
        runtime=120,
    shell:
        "deeplift merge --average {input:q} --out {output.scores:q} &> {log:q}"


# From the final scores, so that a bigWig that is asked for later needs no scoring again.
rule bigwig:
    input:
        unpack(chrom_sizes),
        scores="results/{sample}/scores_{target}.h5",
    output:
        "results/{sample}/scores_{target}.bw",
    log:
        "results/{sample}/logs/bigwig_{target}.log",
    benchmark:
        "results/{sample}/benchmarks/bigwig_{target}.tsv"
    conda:
        "workflow/envs/deeplift.yaml"
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        overlap=lambda wildcards: setting(wildcards, "overlap"),
    script:
        "workflow/scripts/bigwig.py"


rule report:
    input:
        results("scores_{target}.h5", SAMPLES),
    output:
        "results/report.tsv",
    log:
        "results/report.log",
    conda:
        "workflow/envs/deeplift.yaml"
    script:
        "workflow/scripts/report.py"


rule modisco:
    input:
        "results/{sample}/scores_{target}.h5",
    output:
        "results/{sample}/modisco_{target}.h5",
    log:
        "results/{sample}/logs/modisco_{target}.log",
    benchmark:
        "results/{sample}/benchmarks/modisco_{target}.tsv"
    conda:
        "workflow/envs/modisco.yaml"
    threads: 4
    resources:
        mem_mb=32000,
        runtime=1440,
    params:
        most=lambda wildcards: setting(wildcards, "modisco_max_seqlets"),
        window=lambda wildcards: setting(wildcards, "modisco_window"),
    shell:
        "NUMBA_NUM_THREADS={threads} modisco motifs -i {input:q} -n {params.most} -w {params.window}"
        " -o {output:q} &> {log:q}"
