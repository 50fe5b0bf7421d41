/** A run of the tests that is interrupted leaves nothing: no process, no port, no file. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isPortFree } from '../../tools/temporal/ports';
import { repositoryPath } from '../../tools/repository-path';

const onLinux = process.platform === 'linux' ? test : test.skip;

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // A process that has ended meanwhile.
    return '';
  }
};

/** The command lines of all processes of a run, by the mark in their environment. */
const processesOf = (run: string): string[] =>
  readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .filter((pid) => read(`/proc/${pid}/environ`).split('\0').includes(`HOLDFAST_TEST_RUN=${run}`))
    .map((pid) => read(`/proc/${pid}/cmdline`).replaceAll('\0', ' '));

async function until<T>(what: string, look: () => T | undefined | false): Promise<T> {
  for (const by = Date.now() + 60_000; ; await delay(50)) {
    const seen = look();
    if (seen !== undefined && seen !== false) return seen;
    if (Date.now() > by) throw new Error(`never: ${what}`);
  }
}

onLinux.each(['SIGKILL', 'SIGINT'] as const)('by %s', async (signal) => {
  const temporary = mkdtempSync(join(tmpdir(), 'interrupted-'));
  const jest = spawn(
    process.execPath,
    [repositoryPath('node_modules/jest/bin/jest.js'), 'test/workflows/each-workflow'],
    { cwd: repositoryPath('.'), env: { ...process.env, TMPDIR: temporary }, stdio: 'ignore' },
  );
  const ended = once(jest, 'exit');
  const run = await until('a run began', () => readdirSync(temporary)[0]);
  const directory = join(temporary, run);
  const isThere = (part: string) => processesOf(directory).some((line) => line.includes(part));
  await until('its stack is up', () => isThere('server start-dev') && isThere('workers/host.ts'));
  const server = processesOf(directory).find((line) => line.includes('server start-dev'));
  const port = Number(/--port (\d+)/.exec(server ?? '')?.[1]);
  expect(await isPortFree(port)).toBe(false);

  jest.kill(signal);
  await ended;
  await until('its directory is gone', () => !existsSync(directory));
  expect(processesOf(directory)).toEqual([]);
  expect(await isPortFree(port)).toBe(true);
  expect(readdirSync(temporary)).toEqual([]);
});
