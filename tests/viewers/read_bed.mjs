// Reads a BED file by each viewer's own code.
//
//     node read_bed.mjs FILE.bed
//
// Prints a JSON object: for each reader the features, or why the reader failed.

import { readFileSync } from "node:fs"
import { igvClasses } from "./igv_classes.mjs"

const text = readFileSync(process.argv[2], "utf8")

async function byIgv(name) {
  const { FeatureParser, getDataWrapper } = await igvClasses(name, "FeatureParser", "getDataWrapper")
  const parser = new FeatureParser({ format: "bed" })
  await parser.parseHeader(getDataWrapper(text))
  const features = await parser.parseFeatures(getDataWrapper(text))
  return features.map(({ chr, start, end, name, score, strand, color, exons }) => (
    { chrom: chr, start, end, name, score, strand, more: [color, exons].filter(Boolean) }
  ))
}

async function byJBrowse() {
  const { default: BED } = await import("@gmod/bed")
  const parser = new BED()
  return text.split("\n").filter((line) => line && !line.startsWith("#")).map((line) => {
    const { chrom, chromStart, chromEnd, name, score, strand, ...others } = parser.parseLine(line)
    const more = Object.keys(others).filter((key) => !key.startsWith("field")) // fields without a meaning
    return { chrom, start: chromStart, end: chromEnd, name, score, strand: { 1: "+", "-1": "-", 0: "." }[strand], more }
  })
}

const found = { jbrowse: await byJBrowse().catch((error) => String(error)) }
for (const name of ["igv2", "igv3", "igv3-later"]) found[name] = await byIgv(name).catch((error) => String(error))
process.stdout.write(JSON.stringify(found), () => process.exit(0))
