import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { runTypeScript } from '../../tools/typescript/run-typescript';

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

/** `npm run <script>`, but without npm and without bundling anew; no server answers unless the environment names one. */
function run(script: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<Answer> {
  const bundle = process.env['HOLDFAST_TEST_BUNDLE'] ?? '';
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      command(script, [...args, '--workflow-bundle', bundle]),
      { env: { ...process.env, TEMPORAL_ADDRESS: '127.0.0.1:1', ...env }, maxBuffer: 64_000_000 },
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

export const replay = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Answer> =>
  run('replay', args, env);
export const replayGate = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Answer> =>
  run('replay-gate', args, env);
