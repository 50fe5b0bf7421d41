import { createHash } from 'node:crypto';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { DefaultLogger, bundleWorkflowCode } from '@temporalio/worker';
import { newStamp, stampPath } from '../workers/workflow-code';

/** Builds the workflow code once, for all workers of a run or for production, and stamps it with its versions. */
export async function buildWorkflowBundle(path: string): Promise<string> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: require.resolve('../workflows'),
    logger: new DefaultLogger('ERROR'),
  });
  const buildId = createHash('sha256').update(code).digest('hex');
  mkdirSync(dirname(path), { recursive: true });
  // The stamp last, and the bundle in one step: a worker never sees half of either.
  writeFileSync(`${path}.new`, code);
  renameSync(`${path}.new`, path);
  writeFileSync(stampPath(path), JSON.stringify(newStamp(buildId)));
  return path;
}
