import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { gunzipSync, gzipSync } from 'node:zlib';
import { HOLDFAST_QUEUE } from '../../contract/queues';
import type { JsonRun } from '../../scripts/replay/as-json';
import { once } from '../support/once';
import { Suite } from '../support/suite';
import { replay as replayScript, type Answer } from './replay-script';

let suite: Suite;
let directory: string;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-bundle-'));
  suite = await Suite.on({ vms: 2 }, 2);
});
afterAll(async () => {
  rmSync(directory, { recursive: true, force: true });
  await suite.stop();
});

describe('a failed run is taken home in one file', () => {
  const taken = once(async () => {
    const hostId = suite.freshHost();
    const workflowId = `service-host/${hostId}`;
    const run = await suite.stack.client.workflow.start('serviceHost', {
      workflowId,
      taskQueue: HOLDFAST_QUEUE,
      args: [
        {
          hostId,
          update: { component: 'vpciVsp', version: '2.0.0' },
          blackoutBudget: '4s',
          faults: [{ vmId: 'vm-02', step: 'saveVm', kind: 'fail-before', times: 1000 }],
        },
      ],
    });
    await expect(run.result()).rejects.toThrow();
    const bundle = join(directory, 'run.hfbundle');
    const { out: exported } = await replay(['--export', workflowId, bundle]);
    return { hostId, workflowId, failedSave: `fast-save/${hostId}/vm-02`, bundle, exported };
  });
  const replayed = once(async () => replay([(await taken()).bundle, '--json']));

  function replay(args: readonly string[]): Promise<Answer> {
    const { address, namespace } = suite.stack;
    return replayScript(args, { TEMPORAL_ADDRESS: address, TEMPORAL_NAMESPACE: namespace });
  }
  const linesOf = (bundle: string): Record<string, unknown>[] =>
    gunzipSync(readFileSync(bundle))
      .toString()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  it.concurrent(
    'with the histories of all its children, the journal, how the host was, and the workflow code',
    async () => {
      const { hostId, workflowId, bundle, exported } = await taken();
      const lines = linesOf(bundle);
      expect(exported).toMatch(/run\.hfbundle: 5 runs, \d+ journal entries of 1 hosts, \d+ KB\n$/);
      const kinds = lines.map(({ kind }) => kind);
      expect(kinds[0]).toBe('header');
      expect(kinds.at(-1)).toBe('end');
      expect(kinds.filter((kind) => kind === 'run')).toHaveLength(5);
      expect(kinds).toContain('code');
      const host = lines.find(({ kind }) => kind === 'host');
      expect(host).toMatchObject({
        hostId,
        missing: null,
        beginnings: [
          {
            holder: { workflowId },
            vmId: null,
            journalSeq: 0,
            simulation: { host: { versions: { vmWorkerProcess: '1.0.0' } } },
          },
        ],
      });
      const journal = lines.flatMap((line) => (line['kind'] === 'journal' ? line['entries'] : []));
      expect(JSON.stringify(journal)).toContain('saveVm of vm-02 failed before its effect');
    },
  );

  it.concurrent(
    'and replays from it as a tree, down to the step that failed and its attempts',
    async () => {
      const { workflowId, failedSave } = await taken();
      const { code, out, err } = await replayed();
      expect({ code, err }).toEqual({ code: 0, err: '' });
      const told = JSON.parse(out) as JsonRun;
      expect(told).toMatchObject({
        workflowId,
        type: 'serviceHost',
        deterministic: true,
        outcome: 'failed',
        failure: { type: 'HostNotUpdated', step: 'saveVm', nextAction: expect.any(String) },
        firstFailure: { workflowId: failedSave },
      });
      expect(told.failure?.attempt).toBeGreaterThan(1);
      expect(told.children).toHaveLength(4);
      for (const child of told.children) expect(child).toMatchObject({ deterministic: true });
      const saved = told.children.find((c) => c.workflowId === failedSave);
      expect(saved).toMatchObject({
        steps: expect.arrayContaining([
          expect.objectContaining({ name: 'saveVm', status: 'failed' }),
        ]),
      });
    },
  );

  it.concurrent('reads for a person like the run itself', async () => {
    const { bundle, failedSave } = await taken();
    const { out } = await replay([bundle]);
    expect(out).toContain('5 of 5 runs replayed');
    expect(out).toMatch(
      new RegExp(`[├└]─ fastSave ${failedSave}: failed \\(SaveUndone\\), \\d+ ms`),
    );
    expect(out).toContain(`It began in fastSave ${failedSave}`);
    expect(out).toContain('What to do: ');
  });

  it.concurrent(
    'a run that is open, and one that was terminated, are taken home as far as they have come',
    async () => {
      const hostId = suite.freshHost();
      const workflowId = `fast-save/${hostId}/vm-01`;
      const run = await suite.stack.client.workflow.start('fastSave', {
        workflowId,
        taskQueue: HOLDFAST_QUEUE,
        args: [
          {
            ...{ hostId, vmId: 'vm-01' },
            faults: [{ step: 'disableOptimizations', kind: 'stuck' }],
          },
        ],
      });
      await suite.until(hostId, 'vm-01', 'disableOptimizations', 'intent');
      const outcomes: unknown[] = [];
      for (const end of [() => run.terminate('by a test'), () => Promise.resolve()]) {
        const file = join(directory, `open-${outcomes.length}.hfbundle`);
        expect(await replay(['--export', workflowId, file])).toMatchObject({ code: 0 });
        const { code, out } = await replay([file, '--json']);
        const { outcome, detail, deterministic, steps } = JSON.parse(out) as JsonRun;
        outcomes.push({ code, outcome, detail, deterministic, last: steps.at(-1) });
        await end();
      }
      const last = { name: 'disableOptimizations', status: 'open' };
      const replayed = { code: 0, deterministic: true };
      expect(outcomes).toMatchObject([
        { ...replayed, outcome: 'open', last },
        { ...replayed, outcome: 'terminated', detail: 'by a test', last },
      ]);
    },
  );

  it.concurrent('is the same from the server', async () => {
    const { workflowId } = await taken();
    const [fromServer, fromFile] = await Promise.all([replay([workflowId, '--json']), replayed()]);
    expect(JSON.parse(fromServer.out)).toEqual(JSON.parse(fromFile.out));
  });

  it.concurrent('a query replays every run that it lists, and none twice', async () => {
    const { hostId, failedSave } = await taken();
    const query = `ExecutionStatus="Failed" AND HostId="${hostId}"`;
    const { workflow } = suite.stack.client;
    // What the server lists may be a moment behind.
    while ((await workflow.count(query)).count < 2) await delay(100);
    const { code, out } = await replay(['--query', query, '--json']);
    expect(code).toBe(0);
    const ids = out
      .trimEnd()
      .split('\n')
      .flatMap((line) => idsOf(JSON.parse(line) as JsonRun));
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.some((id) => id.startsWith(failedSave))).toBe(true);
  });

  it.concurrent.each<readonly [string, (b: Buffer) => Buffer, RegExp]>([
    ['a file that was cut off', (b: Buffer) => cut(b), /cut off|cannot be read/],
    [
      'one of a newer format',
      (b: Buffer) => edited(b, '"version":1', '"version":2'),
      /use a newer/,
    ],
    ['another compressed file', () => gzipSync('{"a":1}\n'), /is no bundle: line 1/],
  ])('%s is refused with what to do', async (what, spoil, message) => {
    const { bundle } = await taken();
    const file = join(directory, `${what}.hfbundle`);
    writeFileSync(file, spoil(readFileSync(bundle)));
    const { code, out, err } = await replay([file]);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(message);
  });
});

const cut = (bundle: Buffer): Buffer => {
  const lines = gunzipSync(bundle).toString().trimEnd().split('\n');
  return gzipSync(lines.slice(0, -1).join('\n'));
};
const edited = (bundle: Buffer, from: string, to: string): Buffer =>
  gzipSync(gunzipSync(bundle).toString().replace(from, to));

const idsOf = ({ workflowId, runId, children }: JsonRun): string[] => [
  `${workflowId} ${runId}`,
  ...children.flatMap((child) => ('steps' in child ? idsOf(child) : [])),
];
