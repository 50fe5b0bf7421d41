import { createHash, randomUUID } from 'node:crypto';
import {
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { errorCode } from '../tools/reason';
import { repositoryPath } from '../tools/repository-path';
import { cacheDirectory } from '../tools/temporal/cache';
import { buildIdOf, holdfastVersion, presentCommit } from './build-id';
import { WORKFLOW_SOURCES, newStamp, stampPath } from '../workers/workflow-code';

/** What the workflow bundle is made from, beside packages: the folders that the sandbox may load. */
const SOURCES = ['workflows', 'contract', 'planning'];
/** Several checkouts, and a few edits of each; a bundle has 5 MB. */
const KEPT_BUNDLES = 8;

/**
 * The workflow code of this checkout in one file, for all workers of a run or for production, stamped with its versions.
 *
 * @returns `path`
 */
export async function buildWorkflowBundle(path: string): Promise<string> {
  const code = await presentWorkflowCode();
  const sha256 = createHash('sha256').update(code).digest('hex');
  const buildId = buildIdOf({ version: holdfastVersion(), commit: presentCommit(), sha256 });
  // The stamp last, and the bundle in one step: a worker never sees half of either.
  writeAtOnce(path, code);
  writeFileSync(stampPath(path), JSON.stringify(newStamp(buildId)));
  return path;
}

/** Always in it and without effect until a worker traces, so that there is one bundle, with one build id. */
const TRACING = [require.resolve('../workflows/tracing')];

/**
 * The workflow code of this checkout, with these interceptors. Bundling takes seconds, so the code is kept in the user's
 * cache folder by the hash of what it is made from.
 */
export async function presentWorkflowCode(interceptors = TRACING): Promise<string> {
  const cache = join(cacheDirectory(process.env), 'workflow-code');
  const kept = join(cache, `${hashOfSources(interceptors)}.js`);
  try {
    const code = readFileSync(kept, 'utf8');
    utimesSync(kept, new Date(), new Date());
    return code;
  } catch (error) {
    // EACCES and its like: somebody else's cache. Bundling needs no cache.
    if (errorCode(error) === undefined) throw error;
  }
  // Loaded only now: most commands find the code in the cache, and `replay --break` sets TEMPORAL_DEBUG before.
  const { DefaultLogger, bundleWorkflowCode } = await import('@temporalio/worker');
  const { code } = await bundleWorkflowCode({
    ...WORKFLOW_SOURCES,
    workflowInterceptorModules: interceptors,
    logger: new DefaultLogger('ERROR'),
  });
  try {
    writeAtOnce(kept, code);
    forgetOldest(cache);
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
  }
  return code;
}

/** Of our sources, wherever the checkout is, and of the packages that are installed. */
function hashOfSources(interceptors: readonly string[]): string {
  const hash = createHash('sha256').update(readFileSync(repositoryPath('package-lock.json')));
  const root = join(__dirname, '..');
  for (const folder of SOURCES) {
    const files = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' });
    for (const file of files.filter((name) => /\.[jt]s$/.test(name)).sort())
      hash.update(`\0${folder}/${file}\0`).update(readFileSync(join(root, folder, file)));
  }
  for (const file of interceptors) hash.update(`\0${basename(file)}\0`).update(readFileSync(file));
  return hash.digest('hex');
}

function writeAtOnce(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  const fresh = `${path}.${randomUUID()}`;
  writeFileSync(fresh, text);
  renameSync(fresh, path);
}

function forgetOldest(cache: string): void {
  const newestFirst = readdirSync(cache)
    .map((name) => join(cache, name))
    .map((path) => ({ path, usedMs: statSync(path).mtimeMs }))
    .sort((a, b) => b.usedMs - a.usedMs);
  for (const { path } of newestFirst.slice(KEPT_BUNDLES)) rmSync(path, { force: true });
}
