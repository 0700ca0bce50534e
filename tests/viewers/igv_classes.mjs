// Classes of igv.js by themselves, without a page.

import { readFileSync, writeFileSync } from "node:fs"

function pretendBrowser() {
  // igv.js touches the page when it is loaded; its reader of bigWigs does not need one.
  const anything = new Proxy(function () {}, {
    get: (_, key) => (key === Symbol.toPrimitive ? () => "" : key === "then" ? undefined : anything),
    apply: () => anything,
    construct: () => anything,
    set: () => true,
  })
  const set = (name, value) => Object.defineProperty(globalThis, name, { value, writable: true, configurable: true })
  set("window", globalThis)
  for (const name of ["document", "navigator", "location", "localStorage", "sessionStorage", "customElements"])
    set(name, anything)
  for (const name of ["HTMLElement", "Element", "Node", "XMLHttpRequest", "DOMParser", "MutationObserver"])
    set(name, class {})
  set("addEventListener", () => {})
}

let pretending = false

export async function igvClasses(name, ...classes) {
  if (!pretending) pretendBrowser()
  pretending = true
  const bundle = readFileSync(new URL(`./node_modules/${name}/dist/igv.esm.js`, import.meta.url), "utf8")
  const open = new URL(`./${name}-${classes.join("-")}.mjs`, import.meta.url)
  writeFileSync(open, `${bundle}\nexport { ${classes.join(", ")} }\n`)
  return import(open)
}
