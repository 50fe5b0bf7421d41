import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { main } from '../../scripts/update-fleet';
import { runTypeScript } from '../../tools/typescript/run-typescript';
import { inProcess, type Running } from '../support/in-process';

const ROOT = join(__dirname, '..', '..');

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

type Env = Readonly<Record<string, string>>;

/** Runs the script without a terminal; it knows of no server but the one that is given. */
export const updateFleet = (args: readonly string[], env: Env = {}): Running =>
  inProcess('update-fleet', main, args, withServer(env));

/** The same as a process. */
export function updateFleetProcess(args: readonly string[], env: Env = {}) {
  const child = spawn(process.execPath, [...runTypeScript('scripts/update-fleet.ts'), ...args], {
    cwd: ROOT,
    env: withServer(env),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ran = { code: null as number | null, stdout: '', stderr: '' };
  child.stdout.on('data', (data: Buffer) => (ran.stdout += data.toString()));
  child.stderr.on('data', (data: Buffer) => (ran.stderr += data.toString()));
  const ended: Promise<Ran> = once(child, 'close').then(([code]) => ({
    ...ran,
    code: code as number | null,
  }));
  return { child, ended, output: () => ran };
}

function withServer(env: Env): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_'));
  return { ...Object.fromEntries(kept), ...env };
}

/** A directory for the fleet files of one test file; removed after its tests. */
export function fleetFiles(): (name: string, text: string) => string {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-update-fleet-'));
  afterAll(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  return (name, text) => {
    const path = join(directory, name);
    writeFileSync(path, text);
    return path;
  };
}
