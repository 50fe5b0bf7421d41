import { execFile } from 'node:child_process';
import { join } from 'node:path';
// While tests run concurrently Jest refuses to load a package that is first needed then.
import '@temporalio/worker';
import { main as replayMain } from '../../scripts/replay';
import { main as replayGateMain } from '../../scripts/replay-gate';
import type { Main } from '../../scripts/run-script';
import { runTypeScript } from '../../tools/typescript/run-typescript';
import { inProcess } from '../support/in-process';

export interface Answer {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const ROOT = join(__dirname, '..', '..');

/** How Node runs a script without npm. */
export const command = (script: string, args: readonly string[]): string[] => [
  ...runTypeScript(join(ROOT, 'scripts', `${script}.ts`)),
  ...args,
];

const withBundle = (args: readonly string[]): string[] => [
  ...args,
  '--workflow-bundle',
  process.env['HOLDFAST_TEST_BUNDLE'] ?? '',
];
const withEnv = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv => ({
  ...process.env,
  TEMPORAL_ADDRESS: '127.0.0.1:1',
  ...env,
});

/** The script that runs in this process, if one does. */
let running: Promise<unknown> = Promise.resolve();

/**
 * `npm run <script>` without bundling anew; no server answers unless the environment names one. One at a time: the SDK's
 * runtime ends with the last worker of a process, and takes one with it that is made at that moment.
 */
async function run(
  name: string,
  main: Main,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<Answer> {
  const ended = running.then(() => inProcess(name, main, withBundle(args), withEnv(env)).ended);
  running = ended;
  const { code, stdout, stderr } = await ended;
  return { code, out: stdout, err: stderr };
}

export const replay = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Answer> =>
  run('replay', replayMain, args, env);
export const replayGate = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Answer> =>
  run('replay:gate', replayGateMain, args, env);

/** The same as a process. */
export function processOf(
  script: 'replay' | 'replay-gate',
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Answer> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      command(script, withBundle(args)),
      { env: withEnv(env), maxBuffer: 64_000_000 },
      (error, out, err) => {
        resolve({
          code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1,
          out,
          err,
        });
      },
    );
  });
}
