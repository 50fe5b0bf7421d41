import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FAILURES } from '../../contract/failures';
import { HOLDFAST_QUEUE } from '../../contract/queues';
import type { JsonRun } from '../../scripts/replay/as-json';
import { stepsOf } from '../../scripts/replay/steps';
import { Suite, required } from '../support/suite';
import { HISTORIES, historyFiles } from '../workflows/recorded';
import { ReportScript } from './report-script';

const ROOT = join(__dirname, '..', '..');

let script: ReportScript;
beforeAll(() => {
  script = new ReportScript();
});
afterAll(() => {
  script.remove();
});

describe('npm run report', () => {
  const history = join(HISTORIES, 'fast-save.undone.json');

  it('names the file after the workflow, says its size, and writes over a report of its own', async () => {
    const first = await script.run([history]);
    expect(first).toMatchObject({ code: 0, err: '' });
    const [, file = '', size] = /^(\S+\.html): (\d+) KB\n$/.exec(first.out) ?? [];
    expect(file).toMatch(/^fast-save-host-\d+-vm-01\.html$/);
    expect(Number(size)).toBe(Math.ceil(statSync(script.path(file)).size / 1024));
    expect(await script.run([history])).toEqual(first);
    expect(readdirSync(script.directory).filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  it('writes over nothing else', async () => {
    writeFileSync(script.path('mine.html'), 'something of mine');
    const { code, out, err } = await script.run([history, '--out', 'mine.html']);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain('mine.html is there already and is no report: name another file');
    expect(script.read('mine.html')).toBe('something of mine');
  });

  it.each([
    ['a file that is not there', ['none.hfbundle'], 2, 'There is no file none.hfbundle'],
    ['no server', ['service-host/host-01'], 4, 'No Temporal server answers'],
    ['no argument', [], 2, 'missing required argument'],
    [
      'an address that is none',
      [history, '--ui-url', 'javascript:alert(1)'],
      2,
      '--ui-url must be an address such as http://localhost:8233',
    ],
    [
      'a folder that is not there',
      [history, '--out', 'no/such/folder.html'],
      2,
      'cannot be written',
    ],
  ])('%s: exit code and what to do', async (_what, args, code, message) => {
    const answer = await script.run(args);
    expect(answer.err).toContain(message);
    expect(answer).toMatchObject({ code, out: '' });
  });

  it('tells of every kind of run that was ever recorded', async () => {
    const all = script.path('all.ts');
    writeFileSync(
      all,
      `import { writeFileSync } from 'node:fs';
import { readTree } from ${JSON.stringify(join(ROOT, 'scripts/report/read-tree'))};
import { page } from ${JSON.stringify(join(ROOT, 'scripts/report/page'))};
void (async () => {
  for (const name of ${JSON.stringify(historyFiles())})
    writeFileSync(name + '.html', await page(await readTree(${JSON.stringify(HISTORIES)} + '/' + name, {}), null));
})();`,
    );
    expect(await script.node([all])).toEqual({ code: 0, out: '', err: '' });
    for (const name of historyFiles()) {
      const text = script.read(`${name}.html`);
      expect(text).toContain('</html>');
      expect(text).not.toMatch(/undefined|NaN|\[object|Infinity/);
      expect(text).not.toContain('href="http');
      expect(text).toContain('make the report with --ui-url');
    }
    expect(script.read('fast-restore.stranded.json.html')).toMatch(/stranded<\/th><td>1</);
    expect(script.read('service-host.updated.json.html')).toContain('fast-restore/host-01/vm-02');
    expect(script.read('update-fleet.busy.json.html')).toContain('another run services it');
    expect(script.read('update-fleet.steered.json.html')).toContain('Interventions');
  }, 300_000);
});

describe('the report of a failed run on a server', () => {
  let suite: Suite;
  let text: string;
  let replayed: JsonRun;

  beforeAll(async () => {
    suite = await Suite.start('report', { hosts: 1, vms: 2 });
    const run = await suite.stack.client.workflow.start('serviceHost', {
      workflowId: 'service-host/host-01',
      taskQueue: HOLDFAST_QUEUE,
      args: [
        {
          hostId: 'host-01',
          update: { version: '2.0.0' },
          blackoutBudget: '2s',
          faults: [{ vmId: 'vm-02', step: 'saveVm', kind: 'fail-before', times: 1000 }],
        },
      ],
    });
    await expect(run.result()).rejects.toThrow();
    const { address, namespace } = suite.stack;
    const env = { TEMPORAL_ADDRESS: address, TEMPORAL_NAMESPACE: namespace };
    const ui = required('HOLDFAST_TEST_UI');
    text = await script.written('failed.html', ['service-host/host-01', '--ui-url', `${ui}/`], env);
    const replay = join(ROOT, 'scripts', 'replay.ts');
    const code = ['--workflow-bundle', required('HOLDFAST_TEST_BUNDLE')];
    const told = await script.node([replay, 'service-host/host-01', '--json', ...code], env);
    replayed = JSON.parse(told.out) as JsonRun;
  });
  afterAll(() => suite.stop());

  it('says why it failed and what to do', () => {
    expect(text).toContain('failed (HostNotUpdated)');
    expect(text).toContain(FAILURES.HostNotUpdated.meaning);
    expect(text).toContain(FAILURES.HostNotUpdated.nextAction);
    expect(text).toMatch(/saveVm failed, \d+ attempts \(fault injected: fail-before\)/);
  });

  it('has the numbers that a replay has', () => {
    expect(replayed.blackouts).toHaveLength(2);
    for (const { ms } of replayed.blackouts) {
      expect(text).toContain(`>${(ms / 1000).toFixed(2)} s</a>`);
    }
    const rows = text.split('<tr>');
    const steps = replayed.children.flatMap((child) => ('steps' in child ? child.steps : []));
    const dark = steps.filter(({ darkForMs }) => darkForMs !== null && darkForMs > 0);
    expect(dark.length).toBeGreaterThan(8);
    for (const { name, attempts, darkForMs } of dark) {
      const cells = [`>${name}</a></th>`, `<td>${attempts ?? ''}</td>`, darkForMs?.toFixed(1)];
      expect(rows.filter((row) => cells.every((cell) => row.includes(cell ?? '')))).not.toEqual([]);
    }
  });

  it('its links lead to the run and the event', async () => {
    const workflowId = 'fast-save/host-01/vm-02';
    const failed = replayed.children.find((child) => child.workflowId === workflowId);
    const runId = failed?.runId ?? '';
    const run = `${required('HOLDFAST_TEST_UI')}/namespaces/report/workflows/${encodeURIComponent(workflowId)}/${runId}`;
    const [, eventId] =
      new RegExp(`href="${run}/history/events/(\\d+)">saveVm</a>`).exec(text) ?? [];
    const { events } = await suite.stack.client.workflow
      .getHandle(workflowId, runId)
      .fetchHistory();
    const [step] = stepsOf({ events: events?.filter((e) => String(e.eventId) === eventId) ?? [] });
    expect(step).toMatchObject({ name: 'saveVm', status: 'failed' });
  });
});
