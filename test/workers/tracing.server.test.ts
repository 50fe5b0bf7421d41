import { Client, Connection, type WorkflowHandle } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import { DefaultLogger, Runtime, Worker, type ReplayWorkerOptions } from '@temporalio/worker';
import type { temporal } from '@temporalio/proto';
import type { ServiceHostResult } from '../../contract/results';
import { HOLDFAST_QUEUE } from '../../contract/queues';
import { TRACE_HEADER } from '../../contract/trace-context';
import { workflowCode } from '../../workers/workflow-code';
import { OtlpReceiver, type ReceivedSpan } from '../support/otlp-receiver';
import { required } from '../support/required';
import { Suite, type OwnStack } from '../support/suite';
import { historyFiles, recorded } from '../workflows/recorded';

type History = temporal.api.history.v1.IHistory;

/** Workflow code as a worker has it that traces, or one that does not. */
const replaying = (traced: boolean): ReplayWorkerOptions => ({
  ...workflowCode(required('HOLDFAST_TEST_BUNDLE'), { traced }),
  replayName: 'traces',
});

async function replayAll(
  traced: boolean,
  histories: readonly { workflowId: string; history: unknown }[],
): Promise<string[]> {
  const failures: string[] = [];
  for await (const { workflowId, error } of Worker.runReplayHistories(
    replaying(traced),
    histories,
  )) {
    if (error !== undefined) failures.push(`${workflowId}: ${error.message}`);
  }
  return failures;
}

beforeAll(() => {
  Runtime.install({
    logger: new DefaultLogger('ERROR', () => undefined),
    telemetryOptions: { logging: { forward: {}, filter: 'OFF' } },
  });
});
afterAll(async () => {
  await Runtime.instance().shutdown();
});

test('every history that was recorded without tracing replays with it', async () => {
  const histories = historyFiles().map((file) => ({
    workflowId: file,
    history: recorded(file.slice(0, -5)),
  }));
  expect(histories.length).toBeGreaterThan(50);
  expect(await replayAll(true, histories)).toEqual([]);
});

test('sources that are bundled at the start cannot be traced, and the worker says what to do', () => {
  expect(() => workflowCode(undefined, { traced: true })).toThrow(/npm run build/);
});

describe('a stack whose workers trace', () => {
  let suite: Suite<OwnStack>;
  let collector: OtlpReceiver;
  let result: ServiceHostResult;
  let run: WorkflowHandle;

  beforeAll(async () => {
    collector = await OtlpReceiver.start();
    suite = await Suite.start('traces', {
      hosts: 2,
      vms: 2,
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/` },
    });
    run = await suite.start('serviceHost', {
      hostId: 'host-01',
      update: { version: '2.0.0' },
      faults: [{ vmId: 'vm-02', step: 'saveVm', kind: 'fail-before' }],
    });
    result = (await run.result()) as ServiceHostResult;
    await collector.until(() => collector.named('serviceHost').length > 0, 'serviceHost');
    await collector.until(() => collector.named('verifyRestore').length === 2, 'verifyRestore');
    await collector.until(() => ended('fastRestore').length === 2, 'fastRestore');
    await collector.until(() => ended('fastSave').length === 2, 'fastSave');
  });
  afterAll(async () => {
    await suite.stop();
    await collector.stop();
  });

  const ended = (name: string) =>
    collector.named(name).filter((s) => s.attributes['end'] === 'completed');
  test('send one trace of a servicing run: the run, the saves and restores of its VMs, their steps', () => {
    const [root] = collector.named('serviceHost');
    expect(root).toMatchObject({
      service: 'orchestrator',
      failed: false,
      attributes: { HostId: 'host-01', Outcome: 'updated', end: 'completed' },
    });
    expect(root?.parentSpanId || undefined).toBeUndefined();
    expect(new Set(collector.spans.map((s) => s.traceId))).toEqual(new Set([root?.traceId]));

    const children = [...ended('fastSave'), ...ended('fastRestore')];
    expect(children.map((s) => s.attributes['VmId']).sort()).toEqual(
      ['vm-01', 'vm-01', 'vm-02', 'vm-02'].sort(),
    );
    for (const child of children) {
      expect(child).toMatchObject({ service: 'orchestrator', parentSpanId: root?.spanId });
    }
    const parents = new Set([root, ...children].map((s) => s?.spanId));
    const orphans = collector.spans.filter((s) => s !== root && !parents.has(s.parentSpanId));
    expect(orphans).toEqual([]);
  });

  test('have a span for each step, also for one that the host tried twice', () => {
    const [first, second] = result.vms;
    const done = (first?.steps ?? []).map(({ name }) => name);
    expect(done).toContain('saveVm');
    for (const name of done) {
      const spans = collector.named(name).filter((s) => s.attributes['VmId'] === first?.vmId);
      expect({ name, services: spans.map((s) => s.service) }).toEqual({
        name,
        services: ['host-worker-1'],
      });
    }
    const spans = collector.named('saveVm').filter((s) => s.attributes['VmId'] === second?.vmId);
    const step = second?.steps.find(({ name }) => name === 'saveVm');
    expect(spans).toMatchObject([
      { failed: false, attributes: { attempt: 1, attempts: 2, status: 'done', HostId: 'host-01' } },
    ]);
    expect(spans[0]?.attributes['ms']).toBeCloseTo(step?.ms ?? 0, 3);
  });

  test('say of a step that failed for good how, and of those behind it that they were not reached', async () => {
    await suite.fails('fastSave', {
      hostId: 'host-02',
      vmId: 'vm-02',
      faults: [{ step: 'saveVm', kind: 'fail-before', times: 1000 }],
    });
    const of = (name: string) =>
      collector.named(name).filter((s) => s.attributes['VmId'] === 'vm-02' && isOfHost2(s));
    const isOfHost2 = (s: ReceivedSpan) => s.attributes['HostId'] === 'host-02';
    await collector.until(() => of('awaitResume').length > 0, 'awaitResume');
    expect(of('saveVm')).toMatchObject([
      {
        failed: true,
        attributes: { failure: 'HostStepFailed' },
        message: expect.stringContaining('saveVm of vm-02 failed before its effect'),
      },
    ]);
    expect(of('awaitResume')).toMatchObject([
      { failed: false, attributes: { status: 'notReached', attempts: 0 } },
    ]);
  });

  test('record one header and nothing else, and their histories replay without tracing and with it', async () => {
    const ids = [run.workflowId];
    for await (const { workflowId } of suite.stack.client.workflow.list({
      query: 'HostId = "host-01"',
    })) {
      if (!ids.includes(workflowId)) ids.push(workflowId);
    }
    expect(ids).toHaveLength(5);
    const histories = await Promise.all(
      ids.map(async (workflowId) => ({
        workflowId,
        history: await suite.stack.client.workflow.getHandle(workflowId).fetchHistory(),
      })),
    );
    const scheduled = histories.flatMap(({ history }) => headersOf(history));
    expect(scheduled.length).toBeGreaterThan(10);
    expect(new Set(scheduled.flat())).toEqual(new Set([TRACE_HEADER]));
    expect(await replayAll(false, histories)).toEqual([]);
    expect(await replayAll(true, histories)).toEqual([]);
  });

  test('go on with the trace of a client that has one', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const carrier = defaultPayloadConverter.toPayload({ traceparent });
    const connection = await Connection.connect({ address: suite.stack.address });
    const client = new Client({
      connection,
      namespace: suite.stack.namespace,
      interceptors: {
        workflow: [
          {
            startWithDetails: (input, next) =>
              next({ ...input, headers: { ...input.headers, [TRACE_HEADER]: carrier } }),
          },
        ],
      },
    });
    await client.workflow.execute('fastSave', {
      workflowId: 'traced-by-its-client',
      taskQueue: HOLDFAST_QUEUE,
      args: [{ hostId: 'host-02', vmId: 'vm-01' }],
    });
    await connection.close();
    const ours = () =>
      ended('fastSave').find((s) => s.attributes['workflowId'] === 'traced-by-its-client');
    await collector.until(() => ours() !== undefined, 'the run of the client');
    expect(ours()).toMatchObject({
      traceId: '0af7651916cd43dd8448eb211c80319c',
      parentSpanId: 'b7ad6b7169203331',
    });
  });
});

/** The names of the headers of everything that a run set going. */
function headersOf({ events }: History): string[][] {
  return (events ?? []).flatMap((event) => {
    const attributes =
      event.activityTaskScheduledEventAttributes ??
      event.startChildWorkflowExecutionInitiatedEventAttributes;
    return attributes == null ? [] : [Object.keys(attributes.header?.fields ?? {})];
  });
}
