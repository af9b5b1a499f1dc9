// Counts what passed of cache-tests: node cachescore.mjs FOLDER RESULTS. A test
// whose dependency failed has failed, as on the suite's own pages.
import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const [folder, file] = process.argv.slice(2)
const { default: suites } = await import(pathToFileURL(path.join(folder, 'tests/index.mjs')))
const results = JSON.parse(fs.readFileSync(file, 'utf8'))
const tests = new Map(suites.flatMap(s => s.tests).map(t => [t.id, t]))

function passed (id) {
  const test = tests.get(id)
  return results[id] === true && (test.depends_on || []).every(passed)
}

for (const test of tests.values()) {
  if (test.browser_only) continue
  console.log(test.kind || 'required', passed(test.id) ? 'passed' : 'failed', test.id)
}
