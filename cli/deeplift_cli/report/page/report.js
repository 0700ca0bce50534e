"use strict";

const byId = (id) => document.getElementById(id);
const settings = JSON.parse(byId("settings").textContent);
const LENGTH = settings.length;
const BASES = "ACGT";
const NO_BASE = -128; // in place of a contribution
const LEVELS = 127; // of the largest contribution of a region
const ROWS = 50; // of a page of the table
const WIDTH = 1000; // of a logo, in its own units
const LEFT = 58;
const RIGHT = 8;
const MOST_LETTERS = 250; // wider stretches are drawn as bars
const FIRST_VIEW = settings.firstView; // bases

// ---- the data

let regions = null; // columns of the table, see listing.py
let offsets = []; // where each logo begins, in bytes
let placeOf = new Map(); // from the row of the score file to the place in the columns

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function decode(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

async function readTable() {
  const bytes = await inflate(decode(byId("table-data").textContent));
  regions = JSON.parse(new TextDecoder().decode(bytes));
  let offset = 0;
  offsets = regions.size.map((size) => {
    const begin = offset;
    offset += Math.ceil(size / 3) * 3;
    return begin;
  });
  placeOf = new Map(regions.row.map((row, place) => [row, place]));
}

// The logos and the marks stand behind this script.
const parsed =
  document.readyState === "loading"
    ? new Promise((resolve) => document.addEventListener("DOMContentLoaded", resolve, { once: true }))
    : Promise.resolve();
let logoText = null;
let marks = null; // by row: the first position and the length of each seqlet, one after the other

// The stretches of a region's seqlets.
async function readMarks(place) {
  await parsed;
  marks ??= JSON.parse(new TextDecoder().decode(await inflate(decode(byId("mark-data").textContent))));
  const numbers = marks[regions.row[place]] ?? [];
  const found = [];
  for (let i = 0; i < numbers.length; i += 2) found.push([numbers[i], numbers[i] + numbers[i + 1]]);
  return found;
}

// The bases (0 to 3, 4 where there is none) and contributions of a region; null if the page has no logo of it.
async function readLogo(place) {
  const size = regions.size[place];
  if (!size) return null;
  await parsed;
  logoText ??= byId("logo-data").textContent;
  const begin = (offsets[place] / 3) * 4;
  const bytes = decode(logoText.slice(begin, begin + Math.ceil(size / 3) * 4));
  const packed = Math.ceil(LENGTH / 4);
  const levels = new Int8Array((await inflate(bytes.subarray(packed, size))).buffer);
  const bases = new Uint8Array(LENGTH);
  const values = new Float32Array(LENGTH);
  for (let i = 0; i < LENGTH; i++) {
    const known = levels[i] !== NO_BASE;
    bases[i] = known ? (bytes[i >> 2] >> (2 * (i & 3))) & 3 : 4;
    values[i] = known ? (levels[i] * regions.largest[place]) / LEVELS : 0;
  }
  return { bases, values };
}

const hasCoordinates = (place) => regions.chrom[place] >= 0;

function placeText(place) {
  if (!hasCoordinates(place)) return "";
  const strand = regions.strand[place];
  const start = regions.start[place];
  const span = `${regions.chroms[regions.chrom[place]]}:${start}-${start + LENGTH}`;
  return strand === "." ? span : `${span} (${strand})`;
}

// Four significant digits.
function numberText(value) {
  if (value === null) return "–";
  const size = Math.abs(value);
  if (size && (size < 1e-3 || size >= 1e5)) return value.toExponential(2);
  return size >= 1000 ? value.toFixed(0) : size ? value.toPrecision(4) : "0";
}

// A round number of an axis.
function tickText(value) {
  const size = Math.abs(value);
  const text = size && size < 1e-3 ? Number(value.toPrecision(6)).toExponential() : count(Number(value.toPrecision(12)));
  return text.replaceAll("-", "−");
}

const shareText = (value) => (value === null ? "–" : `${(100 * value).toFixed(1)} %`);
const count = (number) => number.toLocaleString("en", { maximumFractionDigits: 9 });

// ---- logos

function element(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Outlines in the unit square, as lists of a command and its coordinates.
const outlines = Object.fromEntries(
  Object.entries(settings.letters).map(([base, path]) => [
    base,
    path.match(/[MLQZ][^MLQZ]*/g).map((part) => [part[0], part.slice(1).split(" ").filter(Boolean).map(Number)]),
  ]),
);

// A letter as a path: its left edge, its base line, its width, and its height (below 0 it hangs upside down).
function letterPath(base, left, line, width, height) {
  let path = "";
  for (const [command, numbers] of outlines[base]) {
    path += command;
    for (let i = 0; i < numbers.length; i += 2) {
      path += `${(left + numbers[i] * width).toFixed(2)} ${(line - numbers[i + 1] * height).toFixed(2)} `;
    }
  }
  return path;
}

function rectanglePath(left, line, width, height) {
  return `M${left.toFixed(2)} ${line.toFixed(2)}v${(-height).toFixed(2)}h${width.toFixed(2)}v${height.toFixed(2)}Z`;
}

function ticks(low, high, most) {
  const rough = (high - low) / most;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * size).find((step) => step >= rough);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(i * step);
  return found;
}

function range(values, from, to) {
  let low = 0;
  let high = 0;
  for (let i = from; i < to; i++) {
    low = Math.min(low, values[i]);
    high = Math.max(high, values[i]);
  }
  return low < high ? [low, high] : [0, 1];
}

// Letters (or bars) of the positions from..to: a path for each base.
function basePaths(logo, from, to, x, y, width) {
  const paths = BASES.split("").map(() => "");
  const letters = to - from <= MOST_LETTERS;
  for (let i = from; i < to; i++) {
    const height = y(0) - y(logo.values[i]);
    const base = logo.bases[i];
    if (base > 3 || Math.abs(height) < 0.05) continue;
    paths[base] += letters
      ? letterPath(BASES[base], x(i) + 0.03 * width, y(0), 0.94 * width, height)
      : rectanglePath(x(i), y(0), width, height);
  }
  return paths.map((d, base) => element("path", { class: BASES[base], d })).filter((path) => path.getAttribute("d"));
}

// `seqlets` are marked, and `chosen`, which is one of them or null, is marked stronger.
function drawLetters(svg, place, logo, from, to, seqlets, chosen, height) {
  const top = 8;
  const bottom = height - 22;
  const [low, high] = range(logo.values, from, to);
  const width = (WIDTH - LEFT - RIGHT) / (to - from);
  const x = (position) => LEFT + (position - from) * width;
  const y = (value) => top + ((high - value) / (high - low)) * (bottom - top);
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${height}`);
  const parts = [];
  const mark = ([first, last], kind) => {
    const [left, right] = [Math.max(first, from), Math.min(last, to)];
    if (left >= right) return;
    parts.push(element("rect", { class: kind, x: x(left), y: top, width: x(right) - x(left), height: bottom - top }));
  };
  for (const seqlet of seqlets) mark(seqlet, "mark");
  if (chosen) mark(chosen, "mark chosen");
  parts.push(element("path", { class: "axis", d: `M${LEFT} ${top}V${bottom}` }));
  parts.push(element("path", { class: "axis", d: `M${LEFT} ${y(0)}H${WIDTH - RIGHT}` }));
  for (const value of ticks(low, high, 4)) {
    parts.push(element("path", { class: "axis", d: `M${LEFT} ${y(value)}h-4` }));
    parts.push(element("text", { class: "end", x: LEFT - 7, y: y(value), dy: "0.32em" }, tickText(value)));
  }
  const start = regions.start[place];
  for (const value of ticks(start + from, start + to - 1, 7).filter(Number.isInteger)) {
    const middle = x(value - start) + width / 2;
    parts.push(element("path", { class: "axis", d: `M${middle} ${bottom + 2}v4` }));
    parts.push(element("text", { x: middle, y: bottom + 18 }, tickText(value)));
  }
  parts.push(...basePaths(logo, from, to, x, y, width));
  svg.replaceChildren(...parts);
}

// The whole window: the range of the contributions in each of many stretches; `view` is marked.
function drawStrip(svg, logo, view) {
  const height = 44;
  const bins = Math.min(LENGTH, WIDTH - LEFT - RIGHT);
  const [low, high] = range(logo.values, 0, LENGTH);
  const x = (position) => LEFT + (position / LENGTH) * (WIDTH - LEFT - RIGHT);
  const y = (value) => 2 + ((high - value) / (high - low)) * (height - 4);
  let path = "";
  for (let bin = 0; bin < bins; bin++) {
    const from = Math.floor((bin * LENGTH) / bins);
    const to = Math.max(from + 1, Math.floor(((bin + 1) * LENGTH) / bins));
    let [least, most] = [0, 0];
    for (let i = from; i < to; i++) {
      least = Math.min(least, logo.values[i]);
      most = Math.max(most, logo.values[i]);
    }
    if (least < most) path += rectanglePath(x(from), y(least), x(to) - x(from), y(least) - y(most));
  }
  const [from, to] = view;
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${height}`);
  svg.replaceChildren(
    element("rect", { class: "view", x: x(from), y: 0, width: Math.max(2, x(to) - x(from)), height }),
    element("path", { class: "zero", d: `M${LEFT} ${y(0)}H${WIDTH - RIGHT}` }),
    element("path", { class: "profile", d: path }),
  );
}

// The stretch of this many bases that has the largest sum of absolute contributions.
function strongest(logo, width) {
  const bases = Math.min(width, LENGTH);
  let sum = 0;
  let largest = -1;
  let best = 0;
  for (let i = 0; i < LENGTH; i++) {
    sum += Math.abs(logo.values[i]) - (i >= bases ? Math.abs(logo.values[i - bases]) : 0);
    // Sums differ by rounding where nothing changes; the first of equal stretches counts.
    if (i >= bases - 1 && sum > largest * (1 + 1e-6)) [largest, best] = [sum, i - bases + 1];
  }
  return [best, best + bases];
}

async function drawBest() {
  const cards = byId("best-logos");
  const chosen = [...placeOf.values()].filter((place) => regions.size[place]).slice(0, settings.best);
  if (!chosen.length) cards.textContent = "The page has no logos: the sequences are too long, or there are none.";
  for (const place of chosen) {
    const logo = await readLogo(place);
    const card = document.createElement("article");
    card.className = "card";
    const heading = document.createElement("h3");
    heading.append(opener(place), facts(place));
    const view = strongest(logo, FIRST_VIEW);
    const svg = element("svg", { class: "logo", role: "img", "aria-label": `letters of ${regions.name[place]}` });
    card.append(heading);
    if (LENGTH > FIRST_VIEW) {
      const strip = element("svg", { class: "strip", role: "img", "aria-label": "the whole window" });
      drawStrip(strip, logo, view);
      card.append(strip);
    }
    drawLetters(svg, place, logo, ...view, [], null, 150);
    card.append(svg);
    cards.append(card);
  }
}

function opener(place) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "link";
  button.dataset.open = regions.row[place];
  button.textContent = regions.name[place] || "(no name)";
  return button;
}

function facts(place) {
  const span = document.createElement("span");
  const where = hasCoordinates(place) ? `${placeText(place)} · ` : "";
  const key = regions.difference ? "difference" : "output"; // which the order of the regions is of
  span.textContent = `${where}${key} ${numberText(regions[key][place])}`;
  return span;
}

// Small logos of seqlets, and the names of their regions.
async function drawSeqlets() {
  for (const span of document.querySelectorAll("[data-name]")) {
    span.textContent = regions.name[placeOf.get(Number(span.dataset.name))];
  }
  for (const button of document.querySelectorAll(".mini")) {
    const place = placeOf.get(Number(button.dataset.open));
    const logo = await readLogo(place);
    if (!logo) continue;
    const start = regions.start[place];
    const flank = Number(button.dataset.flank);
    const from = Math.max(0, Number(button.dataset.from) - start - flank);
    const to = Math.min(LENGTH, Number(button.dataset.to) - start + flank);
    const [low, high] = range(logo.values, from, to);
    const [width, height] = [10, 42];
    const y = (value) => 1 + ((high - value) / (high - low)) * (height - 2);
    const letters = button.textContent;
    const svg = element("svg", {
      viewBox: `0 0 ${(to - from) * width} ${height}`, width: (to - from) * width, height, role: "img",
      "aria-label": `${letters} in ${regions.name[place]}`,
    });
    const left = (Number(button.dataset.from) - start - from) * width;
    const marked = (Number(button.dataset.to) - Number(button.dataset.from)) * width;
    svg.append(element("rect", { class: "mark", x: left, y: 0, width: marked, height }));
    svg.append(element("path", { class: "zero", d: `M0 ${y(0)}h${(to - from) * width}` }));
    svg.append(...basePaths(logo, from, to, (position) => (position - from) * width, y, width));
    button.title = letters;
    button.replaceChildren(svg);
  }
}

// ---- one region, opened

const dialog = byId("region");
let opened = null;

async function open(place, chosen = null) {
  const [logo, seqlets] = [await readLogo(place), await readMarks(place)];
  opened = { place, logo, seqlets, chosen, from: 0, to: LENGTH };
  const difference = regions.difference ? [`difference ${numberText(regions.difference[place])}`] : [];
  const noise = regions.noise ? [`noise ${shareText(regions.noise[place])}`] : [];
  byId("region-name").textContent = regions.name[place];
  byId("region-facts").textContent = [
    ...(hasCoordinates(place) ? [placeText(place)] : []),
    `rank ${count(regions.rank[place])} of ${count(settings.regions)}`,
    `prediction ${numberText(regions.prediction[place])}`,
    `output ${numberText(regions.output[place])}`,
    ...difference,
    ...noise,
  ].join(" · ");
  byId("command").textContent =
    `deeplift plot ${quoted(settings.file)} --index ${regions.row[place]} --out region_${regions.row[place]}.svg`;
  byId("region-logo").hidden = logo === null;
  byId("no-logo").hidden = logo !== null;
  byId("readout").textContent = "";
  const where = order.indexOf(place);
  byId("previous-region").disabled = where <= 0;
  byId("next-region").disabled = where < 0 || where === order.length - 1;
  if (logo) {
    if (chosen) look((chosen[0] + chosen[1] - FIRST_VIEW) / 2, FIRST_VIEW);
    else lookAtStrongest();
  }
  if (!dialog.open) dialog.showModal();
}

// A word for a shell.
const quoted = (text) => (/^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

// Shows a stretch of the opened region, within its ends.
function look(from, width) {
  width = Math.round(Math.min(LENGTH, Math.max(Math.min(LENGTH, 10), width)));
  opened.from = Math.round(Math.min(LENGTH - width, Math.max(0, from)));
  opened.to = opened.from + width;
  drawStrip(byId("strip"), opened.logo, [opened.from, opened.to]);
  const { place, logo, seqlets, chosen } = opened;
  drawLetters(byId("letters"), place, logo, opened.from, opened.to, seqlets, chosen, 260);
  const slider = byId("position");
  slider.max = LENGTH - width;
  slider.value = opened.from;
  slider.disabled = width === LENGTH;
  byId("zoom-out").disabled = width === LENGTH;
}

function lookAtStrongest() {
  const [from, to] = strongest(opened.logo, FIRST_VIEW);
  look(from, to - from);
}

function zoom(factor) {
  const width = (opened.to - opened.from) * factor;
  look((opened.from + opened.to - width) / 2, width);
}

function openNeighbour(step) {
  const place = order[order.indexOf(opened.place) + step];
  if (place !== undefined) open(place);
}

// The position below the pointer, of `bases` positions that begin at `from`; in the units of the window.
function positionAt(event, from, bases) {
  const box = event.currentTarget.getBoundingClientRect();
  const across = ((event.clientX - box.left) / box.width) * WIDTH;
  return from + ((across - LEFT) / (WIDTH - LEFT - RIGHT)) * bases;
}

function readOut(event) {
  const position = Math.floor(positionAt(event, opened.from, opened.to - opened.from));
  const inside = position >= opened.from && position < opened.to;
  const chrom = hasCoordinates(opened.place) ? `${regions.chroms[regions.chrom[opened.place]]}:` : "position ";
  byId("readout").textContent = inside
    ? `${chrom}${regions.start[opened.place] + position}  ${"ACGTN"[opened.logo.bases[position]]}  ` +
      `${numberText(opened.logo.values[position])}`
    : "";
}

function listenToDialog() {
  byId("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside the dialog
  });
  byId("zoom-in").addEventListener("click", () => zoom(1 / 1.6));
  byId("zoom-out").addEventListener("click", () => zoom(1.6));
  byId("strongest").addEventListener("click", lookAtStrongest);
  byId("position").addEventListener("input", (event) => look(Number(event.target.value), opened.to - opened.from));
  byId("previous-region").addEventListener("click", () => openNeighbour(-1));
  byId("next-region").addEventListener("click", () => openNeighbour(1));
  byId("letters").addEventListener("pointermove", readOut);
  byId("letters").addEventListener("pointerleave", () => (byId("readout").textContent = ""));
  const move = (event) => {
    if (event.type === "pointermove" && !event.buttons) return;
    const width = opened.to - opened.from;
    look(positionAt(event, 0, LENGTH) - width / 2, width);
  };
  byId("strip").addEventListener("pointerdown", move);
  byId("strip").addEventListener("pointermove", move);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-open]");
    if (!button || !regions) return;
    const place = placeOf.get(Number(button.dataset.open));
    const start = regions.start[place];
    const { from, to } = button.dataset;
    open(place, from === undefined ? null : [Number(from) - start, Number(to) - start]);
  });
}

// ---- the table of regions

let order = []; // places that fit the search, sorted
let page = 0;
let sorting = { key: "rank", descending: false };
let texts = null; // what is searched
const table = byId("region-table");
const keys = [...table.querySelectorAll("[data-sort]")].map((button) => button.dataset.sort);
const NUMBERS = { prediction: numberText, output: numberText, difference: numberText, error: numberText, noise: shareText };
const collator = new Intl.Collator("en", { numeric: true });

const compare = {
  name: (a, b) => collator.compare(regions.name[a], regions.name[b]),
  place: (a, b) => {
    const [one, other] = [regions.chrom[a], regions.chrom[b]];
    if (one !== other) return collator.compare(regions.chroms[one] ?? "", regions.chroms[other] ?? "");
    return regions.start[a] - regions.start[b];
  },
};

function sortOrder() {
  const { key, descending } = sorting;
  const sign = descending ? -1 : 1;
  const values = regions[key];
  const byNumber = (a, b) => {
    if (values[a] === null || values[b] === null) return (values[a] === null) - (values[b] === null);
    return sign * (values[a] - values[b]);
  };
  const by = compare[key] ? (a, b) => sign * compare[key](a, b) : byNumber;
  order.sort((a, b) => by(a, b) || regions.rank[a] - regions.rank[b]);
}

function fits(query) {
  const locus = query.match(/^(.+):([\d,]+)-([\d,]+)$/);
  const chrom = locus ? regions.chroms.findIndex((name) => name.toLowerCase() === locus[1]) : -1;
  if (chrom >= 0) {
    const [start, end] = [locus[2], locus[3]].map((digits) => Number(digits.replaceAll(",", "")));
    return (place) =>
      regions.chrom[place] === chrom && regions.start[place] < end && regions.start[place] + LENGTH > start;
  }
  texts ??= regions.name.map((name, place) => `${name}\n${placeText(place)}`.toLowerCase());
  return (place) => texts[place].includes(query);
}

function search() {
  const query = byId("search").value.trim().toLowerCase();
  const all = regions.row.map((_, place) => place);
  order = query ? all.filter(fits(query)) : all;
  page = 0;
  sortOrder();
  showTable();
}

function showTable() {
  const body = table.tBodies[0];
  const shown = order.slice(page * ROWS, (page + 1) * ROWS);
  body.replaceChildren(...shown.map(tableRow));
  if (!shown.length) {
    const cell = body.insertRow().insertCell();
    cell.colSpan = keys.length;
    cell.className = "empty";
    cell.textContent = regions.row.length ? "No region fits." : "There are no regions.";
  }
  for (const button of table.querySelectorAll("[data-sort]")) {
    const is = button.dataset.sort === sorting.key;
    button.closest("th").setAttribute("aria-sort", is ? (sorting.descending ? "descending" : "ascending") : "none");
  }
  const first = Math.min(order.length, page * ROWS + 1);
  byId("page").textContent = `${count(first)}–${count(page * ROWS + shown.length)} of ${count(order.length)}`;
  byId("count").textContent =
    order.length === regions.row.length ? `${count(order.length)} regions` : `${count(order.length)} of ${count(regions.row.length)} regions`;
  byId("first-page").disabled = byId("previous-page").disabled = page === 0;
  byId("last-page").disabled = byId("next-page").disabled = page >= lastPage();
}

const lastPage = () => Math.max(0, Math.ceil(order.length / ROWS) - 1);

function tableRow(place) {
  const row = document.createElement("tr");
  row.dataset.open = regions.row[place];
  for (const key of keys) {
    const cell = document.createElement(key === "name" ? "th" : "td");
    if (key === "name") {
      cell.scope = "row";
      cell.append(opener(place));
    } else if (key === "place") {
      cell.className = "place";
      cell.textContent = placeText(place);
    } else if (key === "rank") {
      cell.textContent = count(regions.rank[place]);
    } else {
      cell.className = "number";
      cell.textContent = NUMBERS[key](regions[key][place]);
    }
    row.append(cell);
  }
  return row;
}

function listenToTable() {
  byId("search").addEventListener("input", search);
  table.classList.toggle("no-places", !regions.chroms.length);
  for (const button of table.querySelectorAll("[data-sort]")) {
    const key = button.dataset.sort;
    button.closest("th").classList.add(key in NUMBERS ? "number" : key);
    button.addEventListener("click", () => {
      // Large numbers first, but for ranks; names from A to Z.
      sorting = { key, descending: sorting.key === key ? !sorting.descending : key in NUMBERS };
      page = 0;
      sortOrder();
      showTable();
    });
  }
  const turns = { first: () => 0, previous: () => page - 1, next: () => page + 1, last: lastPage };
  for (const [name, turn] of Object.entries(turns)) {
    byId(`${name}-page`).addEventListener("click", () => {
      page = turn();
      showTable();
    });
  }
}

// ---- the page

function listenToChoices() {
  for (const name of ["theme", "colours"]) {
    byId(name).addEventListener("change", (event) => (document.documentElement.dataset[name] = event.target.value));
  }
}

function fail(error) {
  const message = byId("message");
  message.textContent = window.DecompressionStream
    ? `The page could not be shown: ${error.message ?? error}`
    : "This browser is too old to show the table and the logos: Chrome 123, Firefox 120, Safari 17.5 or newer do.";
  message.hidden = false;
  document.body.dataset.state = "failed";
}

async function start() {
  listenToChoices();
  await readTable();
  listenToDialog();
  listenToTable();
  search();
  document.body.dataset.state = "table";
  await drawBest();
  await drawSeqlets();
  document.body.dataset.state = "ready";
}

start().catch(fail);
