import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { BundleOptions, WorkerOptions } from '@temporalio/worker';

const sdkVersion = (): string =>
  (createRequire(__filename)('@temporalio/worker/package.json') as { version: string }).version;

/** What a prebuilt workflow bundle was made from; it lies beside the bundle. */
export interface BundleStamp {
  readonly sdkVersion: string;
  /** See `buildIdOf`. */
  readonly buildId: string;
}
export const stampPath = (bundlePath: string): string => `${bundlePath}.json`;
export const newStamp = (buildId: string): BundleStamp => ({ sdkVersion: sdkVersion(), buildId });

/** Where the workflow code begins, and what all workflows share: loading zod anew for each would cost more than most steps. */
export const WORKFLOW_SOURCES = {
  workflowsPath: require.resolve('../workflows'),
  preloadModules: [require.resolve('../contract/zod')],
} as const satisfies Partial<BundleOptions>;

/** Runs before the code and switches on what workflows/tracing.ts does. On its first line, so that no line moves. */
const TRACED = 'globalThis.holdfastTraced = true; ';

/**
 * Where a worker gets its workflow code from: the prebuilt bundle, which must be of this SDK version, or, without
 * one, the sources, which costs a second or two. Only a prebuilt bundle can be traced.
 */
export function workflowCode(
  bundlePath?: string,
  { traced = false }: { readonly traced?: boolean } = {},
): Pick<WorkerOptions, 'workflowBundle' | 'workflowsPath' | 'bundlerOptions' | 'buildId'> {
  if (bundlePath === undefined) {
    if (traced)
      throw new Error(
        'Tracing needs prebuilt workflow code: make it with "npm run build" and name it with --workflow-bundle.',
      );
    const { workflowsPath, preloadModules } = WORKFLOW_SOURCES;
    return { workflowsPath, bundlerOptions: { preloadModules } };
  }
  const stamp = readStamp(bundlePath);
  if (stamp.sdkVersion !== sdkVersion()) {
    throw new Error(
      `The workflow bundle ${bundlePath} was made with SDK ${stamp.sdkVersion}, this is ${sdkVersion()}: run "npm run build" again.`,
    );
  }
  const { buildId } = stamp;
  return traced
    ? { buildId, workflowBundle: { code: TRACED + readFileSync(bundlePath, 'utf8') } }
    : { buildId, workflowBundle: { codePath: bundlePath } };
}

/** What the bundle says of itself. Fails where there is none, with what to do. */
export function readStamp(bundlePath: string): BundleStamp {
  try {
    return JSON.parse(readFileSync(stampPath(bundlePath), 'utf8')) as BundleStamp;
  } catch (cause) {
    throw new Error(
      `There is no stamped workflow bundle at ${bundlePath}; make one with "npm run build".`,
      { cause },
    );
  }
}
