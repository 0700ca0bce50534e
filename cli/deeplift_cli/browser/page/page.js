"use strict";

// Bases of a pixel up to which igv.js draws letters; beyond, it draws bars.
const LETTERS = 2;
const config = JSON.parse(document.getElementById("config").textContent);
const input = document.getElementById("region");

function show(message) {
  const place = document.getElementById("message");
  place.textContent = message;
  place.hidden = false;
}

// igv.js answers from one of the stretches of letters that a page holds. A view over two neighbours needs both,
// with N between them.
function joinStretches(reader) {
  reader.getSequence = async (chrom, start, end) => {
    const stretches = reader.sequences.get(chrom);
    if (stretches === undefined) return undefined;
    end = Math.min(end, reader.chromosomes.get(chrom).bpLength);
    let first = 0;
    for (let last = stretches.length; first < last; ) {
      const middle = (first + last) >> 1;
      if (stretches[middle].end <= start) first = middle + 1;
      else last = middle;
    }
    let letters = "";
    for (let i = first; i < stretches.length && stretches[i].offset < end; i++) {
      const { offset, sequence } = stretches[i];
      letters += "N".repeat(Math.max(0, offset - start - letters.length));
      letters += sequence.substring(start + letters.length - offset, end - offset);
    }
    return letters + "N".repeat(Math.max(0, end - start - letters.length));
  };
}

// For a track of letters igv.js fetches the letters of each value, also of a whole chromosome that it then draws as
// bars. This track fetches values alone where no letter would be drawn.
function fetchLettersWhereDrawn(track) {
  const fetch = track.getFeatures;
  const bars = Object.create(track, { graphType: { value: "bar" } });
  track.getFeatures = (chrom, start, end, scale, ...further) =>
    fetch.call(scale < LETTERS ? track : bars, chrom, start, end, scale, ...further);
}

function listRegions(browser) {
  const regions = config.windows;
  let current = 0;
  const names = document.getElementById("names");
  for (const [name, , whole] of regions) {
    const option = document.createElement("option");
    option.value = name;
    option.label = whole;
    names.append(option);
  }
  const count = regions.length.toLocaleString("en");
  const tell = () => {
    input.value = regions[current][0];
    document.getElementById("place").textContent = `${(current + 1).toLocaleString("en")} of ${count}`;
  };
  const go = (number, place = 1) => {
    current = (number + regions.length) % regions.length;
    tell();
    return browser.search(regions[current][place]);
  };
  document.getElementById("previous").addEventListener("click", () => go(current - 1));
  document.getElementById("next").addEventListener("click", () => go(current + 1));
  document.getElementById("whole").addEventListener("click", () => go(current, 2));
  document.getElementById("regions").addEventListener("submit", (event) => event.preventDefault());
  input.addEventListener("change", () => {
    const number = regions.findIndex(([name]) => name === input.value);
    if (number >= 0) go(number);
    else tell();
  });
  // The list of names is short only where nothing is typed yet.
  input.addEventListener("focus", () => (input.value = ""));
  input.addEventListener("blur", tell);
  tell();
}

async function open() {
  if (!config.embedded && location.protocol === "file:") {
    show(`The data are too large for a page that opens from disk. Serve the folder on this machine:\n\n${config.serve}`);
    return;
  }
  const browser = await igv.createBrowser(document.getElementById("browser"), {
    // Neither the list of genomes nor the search for genes by igv.org, so that nothing is sent anywhere.
    loadDefaultGenomes: false,
    search: false,
    reference: config.reference,
    locus: config.locus,
  });
  if (config.embedded) joinStretches(browser.genome.sequence);
  const tracks = await browser.loadTrackList(config.tracks);
  const letters = tracks.filter((track) => track.graphType === "dynseq");
  letters.forEach(fetchLettersWhereDrawn);
  listRegions(browser);
  window.browser = browser;
  document.body.dataset.state = "ready";
}

open().catch((error) => {
  show(`The genome browser could not be opened: ${error.message ?? error}`);
  document.body.dataset.state = "failed";
});
