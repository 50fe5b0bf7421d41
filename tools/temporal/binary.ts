import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

import { buildTemporal, TemporalBuildInterrupted } from './build';
import { cachedBinaryPath, fillCache, installBinary } from './cache';
import { downloadTemporal } from './download';
import { errorCode, reasonOf } from '../reason';
import { temporalRequirement } from './requirement';

export interface FindTemporalOptions {
  /** Gets one line for each thing worth saying to a person who waits. Default: silent. */
  onProgress?: (line: string) => void;
  /** Default: `process.env`. */
  env?: NodeJS.ProcessEnv;
}

/** A Temporal CLI that is there and executable. */
export interface TemporalBinary {
  /** Absolute path, or what `TEMPORAL_CLI_PATH` says. */
  path: string;
  /** `path`: named by `TEMPORAL_CLI_PATH` or found on PATH. The others: in our cache since earlier, or since now. */
  source: 'path' | 'cache' | 'download' | 'build';
}

/** `TEMPORAL_CLI_PATH` names something that cannot be run. Nothing else is tried: the person chose this one. */
export class TemporalCliPathInvalid extends Error {
  override readonly name = 'TemporalCliPathInvalid';
  constructor(path: string) {
    super(
      `TEMPORAL_CLI_PATH is ${path}, which is not an executable file. ` +
        'Point it at a Temporal CLI, or unset it to let holdfast find one.',
    );
  }
}

/** One place that was looked in, and why it did not help. */
export interface FailedAttempt {
  tried: string;
  reason: string;
}

/** No Temporal CLI anywhere, and none could be fetched or built. The message says what was tried and what to do. */
export class TemporalBinaryNotFound extends Error {
  override readonly name = 'TemporalBinaryNotFound';
  constructor(
    readonly attempts: readonly FailedAttempt[],
    goVersion: string,
  ) {
    const tried = attempts.map(({ tried, reason }) => `  - ${tried}: ${reason}`);
    super(
      [
        'No Temporal server could be found or made. Tried:',
        ...tried,
        'Do one of these, then start again:',
        `  - install Go ${goVersion} or newer, so that holdfast can build the server once (about 6 minutes)`,
        '  - put the Temporal CLI `temporal` on PATH, or its path into TEMPORAL_CLI_PATH',
        '  - set TEMPORAL_ADDRESS to a Temporal server that already runs',
      ].join('\n'),
    );
  }
}

/**
 * Finds a Temporal CLI to run a dev server with; the first that is there wins: `TEMPORAL_CLI_PATH`, `temporal` on PATH,
 * our cache, the official download, a build from source (minutes, once). Safe in several processes at once.
 * Fails with {@link TemporalCliPathInvalid}, {@link TemporalBinaryNotFound} or {@link TemporalBuildInterrupted}.
 */
export async function findTemporalBinary(
  options: FindTemporalOptions = {},
): Promise<TemporalBinary> {
  const { onProgress = () => undefined, env = process.env } = options;
  const chosen = env['TEMPORAL_CLI_PATH'];
  if (chosen) {
    if (!(await isExecutable(chosen))) throw new TemporalCliPathInvalid(chosen);
    return { path: chosen, source: 'path' };
  }
  const onPath = await findOnPath(env);
  if (onPath !== undefined) return { path: onPath, source: 'path' };

  const cached = cachedBinaryPath(temporalRequirement().cliVersion, env);
  if (await isExecutable(cached)) return { path: cached, source: 'cache' };
  return obtain(cached, env, onProgress);
}

/** Fills the cache: download, else build. */
async function obtain(
  path: string,
  env: NodeJS.ProcessEnv,
  onProgress: (line: string) => void,
): Promise<TemporalBinary> {
  const requirement = temporalRequirement();
  const { cliVersion } = requirement;
  const attempts: FailedAttempt[] = [
    { tried: 'temporal on PATH', reason: 'not there' },
    { tried: `the cache (${path})`, reason: 'not there' },
  ];
  const routes = [
    { source: 'download', tried: `the download of Temporal CLI ${cliVersion}`, get: downloadTo },
    { source: 'build', tried: 'go build of tools/temporal', get: buildTo },
  ] as const;

  function downloadTo(scratch: string): Promise<string> {
    return downloadTemporal(cliVersion, scratch, env, onProgress);
  }
  function buildTo(scratch: string): Promise<string> {
    return buildTemporal(requirement, scratch, env, onProgress);
  }
  async function firstThatWorks(scratch: string): Promise<TemporalBinary> {
    // Whoever held the lock before us has probably done it.
    if (await isExecutable(path)) return { path, source: 'cache' };
    for (const { source, tried, get } of routes) {
      try {
        await installBinary(await get(scratch), path, cliVersion);
        onProgress(`the Temporal CLI ${cliVersion} is now in ${path}`);
        return { path, source };
      } catch (error) {
        if (error instanceof TemporalBuildInterrupted) throw error;
        attempts.push({ tried, reason: reasonOf(error) });
        onProgress(`${tried} failed: ${reasonOf(error)}`);
      }
    }
    throw new TemporalBinaryNotFound(attempts, requirement.goVersion);
  }
  try {
    return await fillCache(path, onProgress, firstThatWorks);
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
    // A system error: the cache folder cannot be written.
    attempts.push({ tried: 'the cache folder', reason: reasonOf(error) });
    throw new TemporalBinaryNotFound(attempts, requirement.goVersion);
  }
}

async function findOnPath(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  for (const directory of (env['PATH'] ?? '').split(delimiter)) {
    if (directory === '') continue;
    const candidate = join(directory, 'temporal');
    if (await isExecutable(candidate)) return candidate;
  }
  return undefined;
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    // Missing or forbidden: both mean that it cannot be run, and the caller says so.
    return false;
  }
}
