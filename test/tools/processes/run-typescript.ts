import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { runTypeScript } from '../../../tools/typescript/run-typescript';

/** Starts a TypeScript file as a process of its own. */
export function startTypeScript(file: string, env: NodeJS.ProcessEnv = process.env): ChildProcess {
  return spawn(process.execPath, runTypeScript(file), {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** The first line of its stdout that the predicate accepts; fails when it ends without one. */
export async function lineOf(
  child: ChildProcess,
  accepts: (line: string) => boolean = () => true,
): Promise<string> {
  if (child.stdout === null) throw new Error('started without a pipe');
  for await (const line of createInterface({ input: child.stdout })) {
    if (accepts(line)) return line;
  }
  throw new Error('the process ended without the expected line');
}

/** Whether a process of ours still runs; one that has ended but that nobody has asked about yet does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    const status = `/proc/${pid}/status`;
    return process.platform !== 'linux' || !/^State:\s+Z/m.test(readFileSync(status, 'utf8'));
  } catch {
    // No such process: our own ones never refuse a signal.
    return false;
  }
}

/** Waits until no process has this pid. */
export async function untilGone(pid: number, timeoutMs = 8_000): Promise<void> {
  for (const deadline = Date.now() + timeoutMs; isAlive(pid);) {
    if (Date.now() > deadline) throw new Error(`process ${pid} still runs after ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
