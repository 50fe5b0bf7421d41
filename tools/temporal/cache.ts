import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { lock } from 'proper-lockfile';

import { errorCode, reasonOf } from '../reason';

const SCRATCH_PREFIX = 'scratch-';
const LOCK_STALE_MS = 10_000;
const LOCK_POLL_MS = 500;
const WAIT_NOTICE_MS = 10_000;

/** Our folder for what is made once for each user: `$HOLDFAST_CACHE_DIR`, `$XDG_CACHE_HOME/holdfast` or `~/.cache/holdfast`. */
export function cacheDirectory(env: NodeJS.ProcessEnv): string {
  if (env['HOLDFAST_CACHE_DIR']) return env['HOLDFAST_CACHE_DIR'];
  const userCache = env['XDG_CACHE_HOME'] || join(env['HOME'] || homedir(), '.cache');
  return join(userCache, 'holdfast');
}

/** Where the Temporal CLI of this version belongs, whether it is there or not. */
export function cachedBinaryPath(cliVersion: string, env: NodeJS.ProcessEnv): string {
  const directory = `temporal-${cliVersion}-${process.platform}-${process.arch}`;
  return join(cacheDirectory(env), directory, 'temporal');
}

/**
 * Runs `work` as the only process that fills the folder of `binaryPath`; others wait, however long it takes, and say so.
 * The lock of a process that was killed is taken over after 10 s. `work` gets an empty scratch folder on the same
 * filesystem, removed afterwards; one that a killed predecessor left is removed before.
 */
export async function fillCache<T>(
  binaryPath: string,
  onProgress: (line: string) => void,
  work: (scratchDirectory: string) => Promise<T>,
): Promise<T> {
  const directory = dirname(binaryPath);
  await mkdir(directory, { recursive: true });
  const release = await acquire(directory, onProgress);
  try {
    for (const entry of await readdir(directory)) {
      if (entry.startsWith(SCRATCH_PREFIX)) await remove(join(directory, entry));
    }
    const scratch = await mkdtemp(join(directory, SCRATCH_PREFIX));
    try {
      return await work(scratch);
    } finally {
      await remove(scratch);
    }
  } finally {
    await release();
  }
}

/**
 * Moves a finished binary to its place in the cache in one step, so that nobody ever sees half of it.
 * Fails when the file does not run here or is of another version.
 */
export async function installBinary(
  file: string,
  binaryPath: string,
  cliVersion: string,
): Promise<void> {
  await chmod(file, 0o755);
  const { stdout } = await promisify(execFile)(file, ['--version'], { timeout: 30_000 });
  if (!stdout.split(/\s+/).includes(cliVersion)) {
    throw new Error(`expected Temporal CLI ${cliVersion}, got: ${stdout.trim()}`);
  }
  await rename(file, binaryPath);
}

async function acquire(
  directory: string,
  onProgress: (line: string) => void,
): Promise<() => Promise<void>> {
  const startedAt = Date.now();
  let nextNoticeMs = 0;
  for (;;) {
    try {
      // Losing the lock does no harm: each process has its own scratch folder and the move is atomic.
      let lost = false;
      const release = await lock(directory, {
        stale: LOCK_STALE_MS,
        onCompromised: (error) => {
          lost = true;
          onProgress(`lost the lock on ${directory}: ${reasonOf(error)}`);
        },
      });
      return async () => (lost ? undefined : release());
    } catch (error) {
      if (errorCode(error) !== 'ELOCKED') throw error;
    }
    const waitedMs = Date.now() - startedAt;
    if (waitedMs >= nextNoticeMs) {
      const waited = `${Math.round(waitedMs / 1000)} s so far`;
      onProgress(`another process is getting the Temporal CLI; waiting for it (${waited})`);
      nextNoticeMs = waitedMs + WAIT_NOTICE_MS;
    }
    await sleep(LOCK_POLL_MS);
  }
}

async function remove(directory: string): Promise<void> {
  // Retries: a compiler that is being killed may still write its last file.
  await rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
}
