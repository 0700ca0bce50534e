// Reads a part of a bigWig by each viewer's own code.
//
//     node read_bigwig.mjs FILE.bw CHROMOSOME START END
//
// Prints a JSON object: for each reader the values of the bases and the number of summaries at a coarse zoom
// level, or why the reader failed.

import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { igvClasses } from "./igv_classes.mjs"

const require = createRequire(import.meta.url)
const [path, chromosome, start, end] = [process.argv[2], process.argv[3], +process.argv[4], +process.argv[5]]
const COARSE = 200 // bases of a pixel

async function byBbi(name) {
  // JBrowse 2 and the WashU browser read by this package.
  const { BigWig } = name === "bbi7" ? await import(name) : require(name)
  const file = new BigWig({ path })
  const bases = await file.getFeatures(chromosome, start, end)
  const zoomed = await file.getFeatures(chromosome, start, end, { basesPerSpan: COARSE })
  return { values: bases.map((base) => base.score), starts: bases.map((base) => base.start), zoomed: zoomed.length }
}

async function byIgv(name) {
  const { BWReader } = await igvClasses(name, "BWReader")
  const reader = new BWReader({ url: new File([readFileSync(path)], "x.bw"), format: "bigwig" })
  const bases = await reader.readFeatures(chromosome, start, chromosome, end)
  const zoomed = await reader.readFeatures(chromosome, start, chromosome, end, COARSE)
  const inside = bases.filter((base) => base.start >= start && base.end <= end)
  return { values: inside.map((base) => base.value), starts: inside.map((base) => base.start), zoomed: zoomed.length }
}

const found = {}
for (const name of ["bbi4", "bbi5", "bbi6", "bbi7"]) found[name] = await byBbi(name).catch((error) => String(error))
for (const name of ["igv2", "igv3", "igv3-later"]) found[name] = await byIgv(name).catch((error) => String(error))
process.stdout.write(JSON.stringify(found), () => process.exit(0))
