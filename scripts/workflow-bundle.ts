import { createHash } from 'node:crypto';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { DefaultLogger, bundleWorkflowCode } from '@temporalio/worker';
import { buildIdOf, holdfastVersion, presentCommit } from './build-id';
import { WORKFLOW_SOURCES, newStamp, stampPath } from '../workers/workflow-code';

/** Builds the workflow code once, for all workers of a run or for production, and stamps it with its versions. */
export async function buildWorkflowBundle(path: string): Promise<string> {
  const { code } = await bundleWorkflowCode({
    ...WORKFLOW_SOURCES,
    // Always in it and without effect until a worker traces, so that there is one bundle, with one build id.
    workflowInterceptorModules: [require.resolve('../workflows/tracing')],
    logger: new DefaultLogger('ERROR'),
  });
  const sha256 = createHash('sha256').update(code).digest('hex');
  const buildId = buildIdOf({ version: holdfastVersion(), commit: presentCommit(), sha256 });
  mkdirSync(dirname(path), { recursive: true });
  // The stamp last, and the bundle in one step: a worker never sees half of either.
  writeFileSync(`${path}.new`, code);
  renameSync(`${path}.new`, path);
  writeFileSync(stampPath(path), JSON.stringify(newStamp(buildId)));
  return path;
}
