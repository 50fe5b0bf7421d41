import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { spawnGuarded } from '../../../tools/processes/spawn-guarded';

import { isAlive, lineOf, startTypeScript, untilGone } from './run-typescript';

const STUBBORN = 'trap "" TERM; echo ready; while :; do sleep 0.1; done';

describe('a guarded process', () => {
  it('reports its exit code and its output', async () => {
    const child = await spawnGuarded('sh', ['-c', 'echo out; echo err >&2; exit 3'], {
      output: 'pipe',
    });
    if (child.stdout === null || child.stderr === null) throw new Error('no pipes');
    const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
    expect([out, err]).toEqual(['out\n', 'err\n']);
    await expect(child.exited).resolves.toEqual({ code: 3, signal: null });
  });

  it('cannot be started when the command does not exist', async () => {
    await expect(spawnGuarded('no-such-command', [])).rejects.toMatchObject({
      name: 'GuardedStartError',
      message: expect.stringContaining('no-such-command'),
    });
  });

  it('ends by SIGTERM when stopped, however often, and after it has ended', async () => {
    const child = await spawnGuarded('sleep', ['1000']);
    const exits = await Promise.all([child.stop(), child.stop()]);
    exits.push(await child.stop());
    expect(exits).toEqual(Array(3).fill({ code: null, signal: 'SIGTERM' }));
    expect(isAlive(child.pid)).toBe(false);
  });

  it('ends by SIGKILL when it ignores SIGTERM, and so does what it started', async () => {
    const child = await spawnGuarded('sh', ['-c', `sleep 1000 & echo $!; ${STUBBORN}`], {
      graceMs: 200,
      output: 'pipe',
    });
    if (child.stdout === null) throw new Error('no pipe');
    // Both lines: until the second it does not ignore SIGTERM yet.
    let said = '';
    while (!said.includes('ready')) said += String((await once(child.stdout, 'data'))[0]);
    const grandchild = Number(said.split('\n')[0]);
    await expect(child.stop()).resolves.toEqual({ code: null, signal: 'SIGKILL' });
    await untilGone(grandchild);
  });

  it('ends when its parent is killed with SIGKILL', async () => {
    const parent = startTypeScript(join(__dirname, 'guarded-parent.ts'), {
      ...process.env,
      GUARDED: STUBBORN,
    });
    const pid = Number(await lineOf(parent));
    expect(isAlive(pid)).toBe(true);
    parent.kill('SIGKILL');
    await untilGone(pid);
  });

  // Only Linux tells a test who the guard is.
  const onLinux = process.platform === 'linux' ? it : it.skip;
  onLinux('ends when its guard is killed with SIGKILL', async () => {
    const child = await spawnGuarded('sleep', ['1000']);
    process.kill(parentOf(child.pid), 'SIGKILL');
    await expect(child.exited).resolves.toEqual({ code: null, signal: 'SIGKILL' });
    await untilGone(child.pid);
  });
});

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}
