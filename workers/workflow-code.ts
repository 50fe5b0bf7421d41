import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { WorkerOptions } from '@temporalio/worker';

const sdkVersion = (): string =>
  (createRequire(__filename)('@temporalio/worker/package.json') as { version: string }).version;

/** What a prebuilt workflow bundle was made from; it lies beside the bundle. */
export interface BundleStamp {
  readonly sdkVersion: string;
  /** SHA-256 of the bundle: the build id of this workflow code. */
  readonly buildId: string;
}
export const stampPath = (bundlePath: string): string => `${bundlePath}.json`;
export const newStamp = (buildId: string): BundleStamp => ({ sdkVersion: sdkVersion(), buildId });

/**
 * Where a worker gets its workflow code from: the prebuilt bundle, which must be of this SDK version, or, without
 * one, the sources, which costs a second or two.
 */
export function workflowCode(
  bundlePath?: string,
): Pick<WorkerOptions, 'workflowBundle' | 'workflowsPath'> {
  if (bundlePath === undefined) return { workflowsPath: require.resolve('../workflows') };
  let stamp: BundleStamp;
  try {
    stamp = JSON.parse(readFileSync(stampPath(bundlePath), 'utf8')) as BundleStamp;
  } catch (cause) {
    throw new Error(
      `There is no stamped workflow bundle at ${bundlePath}; make one with "npm run build".`,
      { cause },
    );
  }
  if (stamp.sdkVersion !== sdkVersion()) {
    throw new Error(
      `The workflow bundle ${bundlePath} was made with SDK ${stamp.sdkVersion}, this is ${sdkVersion()}: run "npm run build" again.`,
    );
  }
  return { workflowBundle: { codePath: bundlePath } };
}
