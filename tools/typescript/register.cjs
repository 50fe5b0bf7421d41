'use strict';

/*
 * Lets Node load our TypeScript: node --require ./tools/typescript/register.cjs scripts/replay.ts
 *
 * Each file is compiled once and kept by its content, in node_modules/.cache/holdfast, so that a process starts without
 * a compiler. Types are not checked here: `npm run typecheck` does that.
 */
const { createHash, randomUUID } = require('node:crypto');
const { mkdirSync, readFileSync, renameSync, writeFileSync } = require('node:fs');
const { dirname, join } = require('node:path');
const options = require('./swc-options.cjs');

const { version } = require('@swc/core/package.json');
const compiler = JSON.stringify([version, options]);
const cache = join(dirname(dirname(__dirname)), 'node_modules', '.cache', 'holdfast', 'typescript');

function compiled(source, filename) {
  // The name is in the hash because it is in the source map.
  const hash = createHash('sha256').update(`${compiler}\n${filename}\n${source}`).digest('hex');
  const kept = join(cache, `${hash}.js`);
  try {
    return readFileSync(kept, 'utf8');
  } catch {
    const { code } = require('@swc/core').transformSync(source, { ...options, filename });
    keep(kept, code);
    return code;
  }
}

function keep(path, code) {
  try {
    mkdirSync(cache, { recursive: true });
    // In one step: another process may read it at this moment.
    const fresh = `${path}.${randomUUID()}`;
    writeFileSync(fresh, code);
    renameSync(fresh, path);
  } catch {
    // An installation that this user may not write to: it is compiled again each time.
  }
}

process.setSourceMapsEnabled(true);
require.extensions['.ts'] = (module, filename) => {
  module._compile(compiled(readFileSync(filename, 'utf8'), filename), filename);
};
