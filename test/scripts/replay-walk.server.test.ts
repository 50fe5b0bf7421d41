import { spawn } from 'node:child_process';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils';
import { accountOf } from '../../scripts/replay/account';
import { differs, pairsOf } from '../../scripts/replay/difference';
import { differenceText } from '../../scripts/replay/difference-text';
import { walkOf, type Walk } from '../../scripts/replay/stops';
import type { Node, NodeRun } from '../../scripts/replay/tree';
import { nextStop, walkThrough } from '../../scripts/replay/walk';
import { HISTORIES, recorded } from '../workflows/recorded';
import { command, replay } from './replay-script';

function run(name: string, children: readonly Node[] = []): NodeRun {
  const account = accountOf({ workflowId: name, history: historyFromJSON(recorded(name)) });
  const { workflowId, runId } = account;
  return {
    workflowId,
    runId: runId ?? '',
    parentRunId: null,
    depth: 0,
    missing: null,
    verdict: { deterministic: true },
    account,
    children,
  };
}
const node = (name: string, children: readonly Node[] = []): Node => {
  const last = run(name, children);
  return { workflowId: last.workflowId, earlier: [], last };
};
const file = (name: string): string => `${HISTORIES}/${name}.json`;

describe('walking through a run', () => {
  const walk: Walk = walkOf(node('fast-save.undone'));
  const indexOf = (what: string) => walk.stops.findIndex((stop) => stop.what === what);

  async function walked(keys: readonly string[]): Promise<string> {
    const [input, output] = [new PassThrough(), new PassThrough()];
    const shown = text(output);
    input.end(keys.map((key) => `${key}\n`).join(''));
    await walkThrough(walk, { input, output, isInteractive: true });
    output.end();
    return shown;
  }

  it('goes from its beginning to its end, in the order of time', () => {
    expect(walk.stops[0]?.what).toBe('fastSave begins');
    expect(walk.stops.at(-1)).toMatchObject({ what: 'fastSave ends' });
    expect(walk.stops.at(-1)?.outcome).toMatch(/^failed \(SaveUndone\): vm-01 was not saved/);
    const times = walk.stops.map(({ atMs }) => atMs ?? NaN);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(walk.firstFailure).toBe(walk.stops.length - 1);
  });

  it('shows the step, its attempts and what the VM is after it', async () => {
    const shown = await walked([String(indexOf('saveVm') + 1), 'q']);
    expect(shown).toMatch(/saveVm \(save VM state of vm-01\): failed/);
    expect(shown).toMatch(/6 attempts, waited [\d.]+ ms, took [\d.]+ ms/);
    expect(shown).toMatch(/vm-01: paused; no data path, dark for [\d.]+ ms; VF held/);
  });

  it('goes on, back, to a number and to the failure, and says where there is nothing', () => {
    const last = walk.stops.length - 1;
    expect(nextStop('', 0, walk)).toBe(1);
    expect(nextStop('b', 1, walk)).toBe(0);
    expect(nextStop('3', 0, walk)).toBe(2);
    expect(nextStop('f', 0, walk)).toBe(last);
    expect(nextStop('q', 0, walk)).toBeNull();
    expect(nextStop('b', 0, walk)).toBe('This is the first stop.');
    expect(nextStop('', last, walk)).toBe('This was the last stop; q quits.');
    expect(nextStop('0', 0, walk)).toBe(`"0" is no stop: they go from 1 to ${last + 1}.`);
    expect(nextStop('f', 0, { ...walk, firstFailure: null })).toBe('Nothing failed.');
  });

  it('ends where its input ends', async () => {
    const shown = await walked(['', '']);
    expect(shown.match(/\d+ of 19, /g)).toHaveLength(3);
  });

  it('prints all of it where nobody sits in front of it', async () => {
    const { code, out } = await replay([file('fast-save.undone'), '--step']);
    expect(code).toBe(0);
    expect(out.match(/^\d+ of \d+, /gm)).toHaveLength(walk.stops.length);
  });
});

describe('two runs side by side', () => {
  it('puts the same steps beside each other, and marks what differs', async () => {
    const { code, out } = await replay([
      file('fast-save.undone'),
      '--diff',
      file('fast-save.alone'),
    ]);
    expect(code).toBe(0);
    expect(out).toMatch(/^A fastSave .*: failed \(SaveUndone\)/m);
    expect(out).toMatch(/^B fastSave .*: completed \(saved\)/m);
    expect(out).toMatch(/^ {2}input of A: .*"faults"/m);
    expect(out).toMatch(/│ {3}│ pauseVm +│ done +│ +1 │.*│ done +│ +1 │/);
    expect(out).toMatch(/│ ≠ │ saveVm +│ failed +│ +6 │.*│ done +│ +1 │/);
    expect(out).toMatch(/│ ≠ │ unsaveVm +│ alreadyDone +│.*│ – +│/);
    expect(out).toMatch(/│ ≠ │ crossPointOfNoReturn +│ not reached +│ +│.*│ done +│ +1 │/);
    expect(out).toMatch(/1 of 1 runs differ\./);
  });

  it('finds nothing between a run and itself', () => {
    const pairs = pairsOf(node('fast-save.undone'), node('fast-save.undone'));
    expect(pairs.some(differs)).toBe(false);
    expect(differenceText(pairs, { a: 'a', b: 'b' })).toMatch(/1 run: both took the same steps/);
  });

  it('compares the children of one type and VM, in whatever order they were started', () => {
    const save = node('fast-save.in-servicing');
    const restore = node('fast-restore.in-servicing');
    const pairs = pairsOf(
      node('service-host.updated', [save, restore]),
      node('service-host.updated', [restore, save]),
    );
    expect(pairs.map(({ a, b }) => [a?.type, b?.type])).toEqual([
      ['serviceHost', 'serviceHost'],
      ['fastSave', 'fastSave'],
      ['fastRestore', 'fastRestore'],
    ]);
    expect(pairs.some(differs)).toBe(false);
  });

  it('says where one of them has no such run', () => {
    const pairs = pairsOf(
      node('service-host.updated', [node('fast-save.in-servicing')]),
      node('service-host.updated'),
    );
    expect(pairs.map(({ b }) => b === null)).toEqual([false, true]);
    expect(differenceText(pairs, { a: 'a', b: 'b' })).toMatch(/^B \(no such run\)$/m);
  });
});

describe('stopping in a debugger', () => {
  it('stops where the workflow asks for the step, and replays to the end afterwards', async () => {
    const args = [file('fast-save.undone'), '--break', 'saveVm', '--debugger-port', '0'];
    const replaying = spawn(process.execPath, command('replay', args), {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const out = text(replaying.stdout);
    const address = await lineWith(replaying.stderr, /ws:\/\/(127\.0\.0\.1:\d+)/);
    const debugging = spawn(process.execPath, ['inspect', address], { stdio: 'pipe' });
    try {
      await lineWith(debugging.stdout, /(break in) workflow-bundle/);
      const stack = lineWith(debugging.stdout, /#\d+ (fastSave) workflow-bundle/);
      debugging.stdin.write('bt\n');
      await stack;
      debugging.stdin.write('.exit\n');
      expect(await out).toMatch(/SaveUndone: vm-01 was not saved/);
    } finally {
      debugging.kill();
      replaying.kill();
    }
  });

  it('knows its steps', async () => {
    const args = [file('fast-save.undone'), '--break', 'saveAll'];
    const replaying = spawn(process.execPath, command('replay', args), { stdio: 'pipe' });
    const [err] = await Promise.all([text(replaying.stderr), text(replaying.stdout)]);
    expect(err).toMatch(/--break: there is no step "saveAll". Steps are disableOptimizations, /);
  });
});

/** What the group of the pattern matched, as soon as the stream has it. */
function lineWith(stream: NodeJS.ReadableStream, pattern: RegExp): Promise<string> {
  let seen = '';
  return new Promise((resolve, reject) => {
    stream.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
      const found = pattern.exec(seen)?.[1];
      if (found !== undefined) resolve(found);
    });
    stream.on('end', () => {
      reject(new Error(`"${seen}" has nothing like ${String(pattern)}`));
    });
  });
}
