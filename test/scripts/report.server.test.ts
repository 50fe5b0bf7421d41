import { join } from 'node:path';
import { FAILURES } from '../../contract/failures';
import { HOLDFAST_QUEUE } from '../../contract/queues';
import type { JsonRun } from '../../scripts/replay/as-json';
import { stepsOf } from '../../scripts/replay/steps';
import { required } from '../support/required';
import { Suite } from '../support/suite';
import { ReportScript } from './report-script';
import { time } from '../../scripts/report/figures';

const ROOT = join(__dirname, '..', '..');

const script = new ReportScript();
let suite: Suite;
afterAll(async () => {
  script.remove();
  await suite.stop();
});

describe('the report of a failed run on a server', () => {
  let hostId: string;
  let text: string;
  let replayed: JsonRun;

  beforeAll(async () => {
    suite = await Suite.on({ vms: 2 }, 1);
    hostId = suite.freshHost();
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
    const { address, namespace } = suite.stack;
    const env = { TEMPORAL_ADDRESS: address, TEMPORAL_NAMESPACE: namespace };
    const ui = required('HOLDFAST_TEST_UI');
    const replay = join(ROOT, 'scripts', 'replay.ts');
    const code = ['--workflow-bundle', required('HOLDFAST_TEST_BUNDLE')];
    const [written, told] = await Promise.all([
      script.written('failed.html', [workflowId, '--ui-url', `${ui}/`], env),
      script.node(replay, [workflowId, '--json', ...code], env),
    ]);
    text = written;
    replayed = JSON.parse(told.out) as JsonRun;
  });

  it('says why it failed and what to do', () => {
    expect(text).toContain('failed (HostNotUpdated)');
    expect(text).toContain(FAILURES.HostNotUpdated.meaning);
    expect(text).toContain(FAILURES.HostNotUpdated.nextAction);
    expect(text).toMatch(/saveVm failed, \d+ attempts \(fault injected: fail-before\)/);
  });

  it('has the numbers that a replay has', () => {
    expect(replayed.blackouts).toHaveLength(2);
    for (const { ms } of replayed.blackouts) {
      expect(text).toContain(`>${time(ms)}</a>`);
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
    const workflowId = `fast-save/${hostId}/vm-02`;
    const failed = replayed.children.find((child) => child.workflowId === workflowId);
    const runId = failed?.runId ?? '';
    const run = `${required('HOLDFAST_TEST_UI')}/namespaces/${suite.stack.namespace}/workflows/${encodeURIComponent(workflowId)}/${runId}`;
    const [, eventId] =
      new RegExp(`href="${run}/history/events/(\\d+)">saveVm</a>`).exec(text) ?? [];
    const history = await suite.stack.client.workflow.getHandle(workflowId, runId).fetchHistory();
    const step = stepsOf(history).find((each) => each.eventId === Number(eventId));
    expect(step).toMatchObject({ name: 'saveVm', status: 'failed' });
  });
});
