"""Effects of variants: both alleles of each variant of a VCF, scored against the same references."""
