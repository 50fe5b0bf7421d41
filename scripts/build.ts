import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { runMain } from '../workers/run-main';
import { buildWorkflowBundle } from './workflow-bundle';

const root = join(__dirname, '..');
const dist = join(root, 'dist');

/** Compiles everything to dist/ and builds the stamped workflow bundle that production workers load. */
async function main(): Promise<void> {
  rmSync(dist, { recursive: true, force: true });
  execFileSync(
    process.execPath,
    [require.resolve('typescript/bin/tsc'), '-p', 'tsconfig.build.json'],
    {
      cwd: root,
      stdio: 'inherit',
    },
  );
  // Not TypeScript, but needed at run time.
  for (const file of [
    'tools/processes/guard.cjs',
    'tools/temporal/go.mod',
    'tools/temporal/go.sum',
    'hosts/simulator/profiles',
    'hosts/function-policy/default.yaml',
  ]) {
    mkdirSync(dirname(join(dist, file)), { recursive: true });
    cpSync(join(root, file), join(dist, file), { recursive: true });
  }
  await buildWorkflowBundle(join(dist, 'workflow-bundle.js'));
  process.stdout.write('built dist/ and dist/workflow-bundle.js\n');
}

runMain('build', main);
