/** `npm run fork` on a server: what it starts, and how both runs are linked. */
import { setTimeout as delay } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import { HOLDFAST_QUEUE, fastRestoreId, serviceHostId } from '../../contract/queues';
import type { VmStep } from '../../contract/steps';
import { SimulatedHosts } from '../../hosts/simulator/simulated-host';
import { Suite, ending } from '../support/suite';
import { ForkScript, LONGEST, idOfFork, runIdOf, vm } from './fork-script';

let suite: Suite;
let script: ForkScript;
beforeAll(async () => {
  suite = await Suite.on({ vms: 2 }, 7);
  script = new ForkScript(suite);
});
afterAll(() => suite.stop());

/** What a list of the UI finds for the query; the server's index is a moment behind. */
async function found(query: string): Promise<string[]> {
  for (const until = Date.now() + 30_000; ; await delay(200)) {
    const ids: string[] = [];
    for await (const { workflowId } of suite.stack.client.workflow.list({ query }))
      ids.push(workflowId);
    if (ids.length > 0 || Date.now() > until) return ids;
  }
}

test.concurrent(
  'goes on with a stranded restore of a servicing run, with what the host had told it, in another way',
  async () => {
    const hostId = suite.freshHost();
    const before = suite.vm(hostId, 'vm-01').identity;
    const service = await suite.stack.client.workflow.start('serviceHost', {
      workflowId: serviceHostId(hostId),
      taskQueue: HOLDFAST_QUEUE,
      args: [
        {
          hostId,
          update: { version: '2.0.0' },
          blackoutBudget: '6s',
          faults: [{ vmId: 'vm-01', step: 'powerOnRestore', kind: 'fail-before', times: 1000 }],
        },
      ],
    });
    expect((await ending(service)).type).toBe('VmStranded');
    const workflowId = fastRestoreId(hostId, 'vm-01');
    const old = suite.stack.client.workflow.getHandle(workflowId);
    const runId = await runIdOf(old);
    // Of the servicing run there is nothing to adopt any more; it says which run to fork instead.
    await script.refuses(
      new RegExp(
        `has started runs of its VMs.*fork its own run instead: ${workflowId} --run-id ${runId}`,
      ),
      service.workflowId,
      '--at',
      'stageUpdate',
    );
    const ran = await script.process(
      workflowId,
      '--at=powerOnRestore',
      '--set=virtualFunctionRestore=one-step',
      '--set=faults=[]',
      '--json',
    );
    expect(ran).toMatchObject({ code: 0 });
    const told = JSON.parse(ran.out) as { new: { runId: string; input: object }; end: object };
    // With the budget of the servicing run, as the run that it goes on with.
    expect(told).toMatchObject({
      type: 'fastRestore',
      at: 'powerOnRestore',
      old: { workflowId, runId, outcome: 'failed', detail: 'VmStranded' },
      new: {
        workflowId: `${workflowId}/fork-of-${runId}`,
        input: {
          ...vm(hostId),
          blackoutBudget: '6000ms',
          virtualFunctionRestore: 'one-step',
          faults: [],
          adopt: { workflowId, runId, at: 'powerOnRestore' },
        },
      },
      end: { status: 'completed', result: { outcome: 'restored', vm: { path: 'kept' } } },
    });
    expect(suite.vm(hostId, 'vm-01')).toMatchObject({ phase: 'running', identity: before });
    await script.expectUnharmed(hostId);
    // Linked: found from the old run by a list, back by the memo.
    expect(new Set(await found(`ForkOf="${runId}" AND Outcome="kept"`))).toEqual(
      new Set([`${workflowId}/fork-of-${runId}`]),
    );
    const handle = suite.stack.client.workflow.getHandle(`${workflowId}/fork-of-${runId}`);
    expect((await handle.describe()).memo).toMatchObject({
      forkOf: { workflowId, runId, at: 'powerOnRestore' },
    });
    // And what went on can be followed from the host alone.
    const adopted = suite.journal(hostId, 'vm-01').filter(({ step }) => step === 'adopt');
    expect(adopted).toHaveLength(1);
    expect(adopted[0]?.detail).toContain(`of workflow ${workflowId}, run`);
  },
);

test.concurrent(
  'goes on with a save that was terminated in the dark, with a larger budget',
  async () => {
    const hostId = suite.freshHost();
    const old = await script.stuckSave(hostId, '20s');
    await old.terminate('for a test');
    const ran = await script.run(
      old.workflowId,
      '--at=saveVm',
      `--set=blackoutBudget=${LONGEST}`,
      '--set=faults=[]',
    );
    expect(ran.out).toBe(`${await idOfFork(old)}: saved\n`);
    expect(ran.code).toBe(0);
    expect(ran.err).toContain(`ForkOf="${await runIdOf(old)}"`);
    const restored = await suite.run('fastRestore', vm(hostId));
    expect(restored.vm.path).toBe('kept');
    await script.expectUnharmed(hostId);
    // The VM has moved on: the host refuses it, so its answer is the end of the run that was started.
    const again = await script.process(old.workflowId, '--at=saveVm');
    expect(again.code).toBe(2);
    expect(again.out).toContain('it is running, nobody holds it');
  },
);

test.concurrent(
  'goes on with an open run that is stuck: fenced, then terminated with where it goes on',
  async () => {
    const hostId = suite.freshHost();
    // An attempt that takes that long does not see itself overtaken: the run would be open for as long.
    const faults = [{ step: 'disableOptimizations', kind: 'slow', delay: '60s' }];
    const old = await suite.start('fastSave', { ...vm(hostId), faults });
    await suite.until(hostId, 'vm-01', 'disableOptimizations', 'intent');
    const said = await goneOn(hostId, old, 'disableOptimizations');
    expect(said).toContain('The old run is fenced and terminated.');
    const { status } = await old.describe();
    expect(status.name).toBe('TERMINATED');
    const last = (await old.fetchHistory()).events?.at(-1);
    expect(last?.workflowExecutionTerminatedEventAttributes?.reason).toMatch(
      new RegExp(`^forked: goes on as ${await idOfFork(old)}, run [0-9a-f-]+$`),
    );
  },
);

test.concurrent(
  'goes on with an open run that is stuck in the dark: fenced, it is terminated or ends first',
  async () => {
    const hostId = suite.freshHost();
    const old = await script.stuckSave(hostId, LONGEST);
    const said = await goneOn(hostId, old, 'crossPointOfNoReturn');
    const { status } = await old.describe();
    expect([status.name, said.split('\n').at(-2)]).toEqual(
      status.name === 'TERMINATED'
        ? ['TERMINATED', 'The old run is fenced and terminated.']
        : ['FAILED', 'The old run is fenced, and has ended.'],
    );
  },
);

/** Forks a run that is open and stuck at this step, brings its VM back, and answers what the script said. */
async function goneOn(hostId: string, old: WorkflowHandle, step: VmStep): Promise<string> {
  const before = suite.vm(hostId, 'vm-01').generation;
  await script.refuses(/is still open.*--from-open/s, old.workflowId, `--at=${step}`);
  expect(suite.vm(hostId, 'vm-01').generation).toBe(before);
  const ran = await script.run(old.workflowId, `--at=${step}`, '--set=faults=[]', '--from-open');
  expect(ran).toMatchObject({ code: 0 });
  // A late step of the old generation changes nothing.
  const hosts = new SimulatedHosts(suite.stack.store, { timeScale: 1, operations: {} });
  const seen = JSON.stringify(suite.stack.store.vm(hostId, 'vm-01'));
  await expect(
    hosts.perform(
      'concludeSave',
      { ...vm(hostId), generation: before, direction: 'forward' },
      new AbortController().signal,
    ),
  ).rejects.toMatchObject({ type: 'Fenced' });
  expect(JSON.stringify(suite.stack.store.vm(hostId, 'vm-01'))).toBe(seen);
  await suite.run('fastRestore', vm(hostId));
  await script.expectUnharmed(hostId);
  return ran.err;
}

test.concurrent(
  'goes on with a servicing run that was terminated before it touched a VM',
  async () => {
    const hostId = suite.freshHost();
    const old = await suite.start('serviceHost', {
      hostId,
      update: { version: '2.0.0' },
      faults: [{ step: 'stageUpdate', kind: 'stuck', times: 1000 }],
    });
    await suite.until(hostId, null, 'stageUpdate', 'intent');
    await script.refuses(/still open. Abort it/, old.workflowId, '--at=stageUpdate', '--from-open');
    await old.terminate('for a test');
    await script.refuses(/never came to noticeGuests/, old.workflowId, '--at=noticeGuests');
    const ran = await script.run(
      old.workflowId,
      '--at=stageUpdate',
      '--set=update={version: 2.0.1}',
      '--set=faults=[]',
    );
    expect(ran.out).toBe(`${await idOfFork(old)}: updated\n`);
    expect(suite.vm(hostId, 'vm-01').facts.stackVersion).toBe('2.0.1');
    await script.expectUnharmed(hostId);
  },
);

test.concurrent('goes on on its own when nobody waits', async () => {
  const hostId = suite.freshHost();
  const old = await script.stuckSave(hostId, LONGEST);
  await old.terminate('for a test');
  const ran = await script.run(
    old.workflowId,
    '--at=saveVm',
    '--set=faults=[]',
    '--detach',
    '--json',
  );
  expect(ran.code).toBe(0);
  expect(JSON.parse(ran.out)).toMatchObject({
    end: null,
    new: { workflowId: await idOfFork(old) },
  });
  expect(await suite.stack.client.workflow.getHandle(await idOfFork(old)).result()).toMatchObject({
    outcome: 'saved',
  });
  await suite.run('fastRestore', vm(hostId));
});

test.concurrent(
  'what the host refuses ends with 2 too, and leaves an open old run alone',
  async () => {
    const hostId = suite.freshHost();
    const old = await script.stuckSave(hostId, LONGEST);
    suite.stack.store.update(hostId, 'vm-01', ({ vm }) => {
      for (const { vpci } of vm.adapters) vpci.hold = 'block';
    });
    const ran = await script.run(old.workflowId, '--at=saveVm', '--from-open');
    expect(ran.code).toBe(2);
    expect(ran.out).toContain('its hold is set already, as block');
    expect(ran.err).toContain('The new run was not given the VM: the old run is left alone.');
    expect((await old.describe()).status.name).toBe('RUNNING');
    await old.cancel();
    // No attempt is stuck any more, so that the cancel is heard before the budget is spent.
    suite.stack.store.update(hostId, 'vm-01', (o) => {
      o.vm.faults = [];
      o.vm.mailbox = null;
    });
    await ending(old);
  },
);
