/** `npm run fork` on a server: what it starts, how both runs are linked, and what it refuses. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import { HOLDFAST_QUEUE, fastRestoreId, serviceHostId } from '../../contract/queues';
import { SimulatedHosts } from '../../hosts/simulator/simulated-host';
import { Suite, ending } from '../support/suite';
import { ROOT } from './update-fleet-script';

let suite: Suite;
beforeAll(async () => {
  suite = await Suite.start('fork-script', { hosts: 9, vms: 2 });
});
afterAll(() => suite.stop());

/** The script, without npm. */
async function fork(...args: string[]) {
  const child = spawn(
    process.execPath,
    ['--require', require.resolve('tsx/cjs'), 'scripts/fork.ts', ...args],
    {
      cwd: ROOT,
      env: {
        ...process.env,
        TEMPORAL_ADDRESS: suite.stack.address,
        TEMPORAL_NAMESPACE: suite.stack.namespace,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  const told = { out: '', err: '' };
  child.stdout.on('data', (data: Buffer) => (told.out += data.toString()));
  child.stderr.on('data', (data: Buffer) => (told.err += data.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...told };
}
async function refuses(message: RegExp | string, ...args: string[]): Promise<void> {
  const { code, out, err } = await fork(...args);
  expect(err).toMatch(message);
  expect({ code, out }).toEqual({ code: 2, out: '' });
}

const vm = (hostId: string, vmId = 'vm-01') => ({ hostId, vmId });
const STUCK = [{ step: 'saveVm', kind: 'stuck', times: 1000 }];
async function stuckSave(hostId: string, blackoutBudget: string, vmId = 'vm-01') {
  const target = vm(hostId, vmId);
  const old = await suite.start('fastSave', { ...target, blackoutBudget, faults: STUCK });
  await suite.until(hostId, vmId, 'saveVm', 'intent');
  return old;
}
const runIdOf = async (handle: WorkflowHandle) => (await handle.describe()).runId;
const idOfFork = async (old: WorkflowHandle) => `${old.workflowId}/fork-of-${await runIdOf(old)}`;

/** What a list of the UI finds for the query; the server's index is a moment behind. */
async function found(query: string): Promise<string[]> {
  for (const until = Date.now() + 15_000; ; await delay(200)) {
    const ids: string[] = [];
    for await (const { workflowId } of suite.stack.client.workflow.list({ query }))
      ids.push(workflowId);
    if (ids.length > 0 || Date.now() > until) return ids;
  }
}

async function expectUnharmed(hostId: string): Promise<void> {
  const hosts = new SimulatedHosts(suite.stack.store, { timeScale: 1, operations: {} });
  const { forbiddenCommands, invariants, quarantine } = await hosts.describe(hostId);
  expect({ forbiddenCommands, violated: invariants.violated, quarantine }).toEqual({
    forbiddenCommands: 0,
    violated: 0,
    quarantine: null,
  });
}

describe('goes on', () => {
  test('with a stranded restore of a servicing run, with what the host had told it, in another way', async () => {
    const hostId = 'host-01';
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
    await refuses(
      new RegExp(
        `has started runs of its VMs.*fork its own run instead: ${workflowId} --run-id ${runId}`,
      ),
      service.workflowId,
      '--at',
      'stageUpdate',
    );
    const ran = await fork(
      workflowId,
      '--at=powerOnRestore',
      '--set=virtualFunctionRestore=one-step',
      '--set=faults=[]',
      '--json',
    );
    expect(ran).toMatchObject({ code: 0 });
    const told = JSON.parse(ran.out) as { new: { runId: string; input: object }; end: object };
    // In place and with the budget of the servicing run, as the run that it goes on with.
    expect(told).toMatchObject({
      type: 'fastRestore',
      at: 'powerOnRestore',
      old: { workflowId, runId, outcome: 'failed', detail: 'VmStranded' },
      new: {
        workflowId: `${workflowId}/fork-of-${runId}`,
        input: {
          ...vm(hostId),
          stepPlacement: 'in-place',
          blackoutBudget: '6000ms',
          virtualFunctionRestore: 'one-step',
          faults: [],
          adopt: { workflowId, runId, at: 'powerOnRestore' },
        },
      },
      end: { status: 'completed', result: { outcome: 'restored', vm: { path: 'kept' } } },
    });
    expect(suite.vm(hostId, 'vm-01')).toMatchObject({ phase: 'running', identity: before });
    await expectUnharmed(hostId);
    // Linked: found from the old run by a list, back by the memo, also where steps in place have moved the run on.
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
  });

  test('with a save that was terminated in the dark, with a larger budget', async () => {
    const old = await stuckSave('host-02', '10s');
    await old.terminate('for a test');
    const ran = await fork(
      old.workflowId,
      '--at=saveVm',
      '--set=blackoutBudget=25s',
      '--set=faults=[]',
    );
    expect(ran.out).toBe(`${await idOfFork(old)}: saved\n`);
    expect(ran.code).toBe(0);
    expect(ran.err).toContain(`ForkOf="${await runIdOf(old)}"`);
    const restored = await suite.run('fastRestore', vm('host-02'));
    expect(restored.vm.path).toBe('kept');
    await expectUnharmed('host-02');
    // The VM has moved on: the host refuses it, so its answer is the end of the run that was started.
    const again = await fork(old.workflowId, '--at=saveVm');
    expect(again.code).toBe(2);
    expect(again.out).toContain('it is running, nobody holds it');
  });

  test('with an open run that is stuck: fenced, then terminated with where it goes on', async () => {
    const old = await stuckSave('host-03', '28s');
    const before = suite.vm('host-03', 'vm-01').generation;
    await refuses(/is still open.*--from-open/s, old.workflowId, '--at=saveVm');
    expect(suite.vm('host-03', 'vm-01').generation).toBe(before);
    const ran = await fork(old.workflowId, '--at=saveVm', '--set=faults=[]', '--from-open');
    expect(ran).toMatchObject({ code: 0 });
    expect(ran.err).toContain('The old run is fenced and terminated.');
    const { status } = await old.describe();
    expect(status.name).toBe('TERMINATED');
    const last = (await old.fetchHistory()).events?.at(-1);
    expect(last?.workflowExecutionTerminatedEventAttributes?.reason).toMatch(
      new RegExp(`^forked: goes on as ${await idOfFork(old)}, run [0-9a-f-]+$`),
    );
    // A late step of the old generation changes nothing.
    const hosts = new SimulatedHosts(suite.stack.store, { timeScale: 1, operations: {} });
    const seen = JSON.stringify(suite.stack.store.vm('host-03', 'vm-01'));
    await expect(
      hosts.perform(
        'saveVm',
        { ...vm('host-03'), generation: before, direction: 'forward' },
        new AbortController().signal,
      ),
    ).rejects.toMatchObject({ type: 'Fenced' });
    expect(JSON.stringify(suite.stack.store.vm('host-03', 'vm-01'))).toBe(seen);
    await suite.run('fastRestore', vm('host-03'));
    await expectUnharmed('host-03');
  });

  test('with a servicing run that was terminated before it touched a VM', async () => {
    const old = await suite.start('serviceHost', {
      hostId: 'host-04',
      update: { version: '2.0.0' },
      faults: [{ step: 'stageUpdate', kind: 'stuck', times: 1000 }],
    });
    await suite.until('host-04', null, 'stageUpdate', 'intent');
    await refuses(/still open. Abort it/, old.workflowId, '--at=stageUpdate', '--from-open');
    await old.terminate('for a test');
    await refuses(/never came to noticeGuests/, old.workflowId, '--at=noticeGuests');
    const ran = await fork(
      old.workflowId,
      '--at=stageUpdate',
      '--set=update={version: 2.0.1}',
      '--set=faults=[]',
    );
    expect(ran.out).toBe(`${await idOfFork(old)}: updated\n`);
    expect(suite.vm('host-04', 'vm-01').facts.stackVersion).toBe('2.0.1');
    await expectUnharmed('host-04');
  });

  test('on its own when nobody waits', async () => {
    const old = await stuckSave('host-05', '20s');
    await old.terminate('for a test');
    const ran = await fork(old.workflowId, '--at=saveVm', '--set=faults=[]', '--detach', '--json');
    expect(ran.code).toBe(0);
    expect(JSON.parse(ran.out)).toMatchObject({
      end: null,
      new: { workflowId: await idOfFork(old) },
    });
    expect(await suite.stack.client.workflow.getHandle(await idOfFork(old)).result()).toMatchObject(
      {
        outcome: 'saved',
      },
    );
    await suite.run('fastRestore', vm('host-05'));
  });
});

describe('refuses, and starts nothing', () => {
  let undone: WorkflowHandle;
  beforeAll(async () => {
    const faults = [{ step: 'saveVm', kind: 'fail-before', times: 1000 }];
    undone = await suite.start('fastSave', { ...vm('host-06'), blackoutBudget: '2s', faults });
    expect((await ending(undone)).type).toBe('SaveUndone');
  });
  afterAll(async () => {
    // Not one run was started for any of them.
    const { workflowId } = undone;
    const id = `${workflowId}/fork-of-${await runIdOf(undone)}`;
    await expect(suite.stack.client.workflow.getHandle(id).describe()).rejects.toThrow();
  });
  const AT = '--at=disableOptimizations';

  test('a workflow, or a run, that is unknown', async () => {
    await refuses(/There is no workflow "no-such"/, 'no-such', AT);
    const unknown = '01234567-89ab-cdef-0123-456789abcdef';
    await refuses(/with run id 01234567/, undone.workflowId, AT, '--run-id', unknown);
  });

  test('a step that is none, is of a restore, or was not reached, and lists those that are', async () => {
    const { workflowId } = undone;
    const list =
      /The run took: .*saveSyntheticAdapter, saveVm.* It can be forked at: disableOptimizations, .*, saveVm\./;
    await refuses(/"saveVM" is no step that a fastSave goes through/, workflowId, '--at=saveVM');
    await refuses(/"powerOnRestore" is no step/, workflowId, '--at=powerOnRestore');
    await refuses(/never came to concludeSave/, workflowId, '--at=concludeSave');
    await refuses(list, workflowId, '--at=concludeSave');
    await refuses(
      /With these options there is no step saveVirtualFunctionState/,
      workflowId,
      '--at=saveVirtualFunctionState',
      '--set=mode=conventional',
    );
  });

  test.each([
    ['mode=fast', /mode: .*modified.*conventional.*got "fast"/],
    ['blackoutBudget=31s', /blackoutBudget: must be a duration.*30s.*got "31s"/],
    ['blackoutBudget=31', /blackoutBudget: must be a duration.*got 31/],
    ['speed=9', /speed/],
    ['vmId=vm-02', /vmId cannot be set: a fork goes on with the same VM/],
    ['adopt={}', /adopt cannot be set/],
    ['mode', /write it as field=value/],
    ['faults=[', /the value is no YAML/],
  ])('the option %s', async (option, message) => {
    await refuses(message, undone.workflowId, AT, '--set', option);
  });

  test('the mode of a restore, which its record names', async () => {
    await suite.run('fastSave', vm('host-07'));
    const faults = [{ step: 'reserveResources', kind: 'slow', delay: '1s' }];
    const old = await suite.start('fastRestore', { ...vm('host-07'), faults });
    await suite.until('host-07', 'vm-01', 'reserveResources', 'intent');
    await old.terminate('for a test');
    const args = [old.workflowId, '--at=reserveResources', '--set=faults=[]'];
    await refuses(/a restore obeys the mode that its record names/, ...args, '--set=mode=modified');
    expect((await fork(...args)).out).toMatch(/: restored, kept\n$/);
  });

  test('a run that never held its VM', async () => {
    const old = await suite.start('fastRestore', vm('host-06'));
    expect((await ending(old)).type).toBe('NoRecord');
    await refuses(/never held its VM \(failed\)/, old.workflowId, '--at=powerOnRestore');
  });

  test('the run of a VM whose servicing run is open and counts on it', async () => {
    const service = await suite.stack.client.workflow.start('serviceHost', {
      workflowId: serviceHostId('host-08'),
      taskQueue: HOLDFAST_QUEUE,
      args: [
        {
          hostId: 'host-08',
          update: { version: '2.0.0' },
          faults: [{ vmId: 'vm-01', step: 'disableOptimizations', kind: 'slow', delay: '6s' }],
        },
      ],
    });
    await suite.until('host-08', 'vm-01', 'disableOptimizations', 'intent');
    await refuses(
      /is part of service-host\/host-08 \(run [0-9a-f-]+\), which is open and counts on its VMs/,
      fastRestoreId('host-08', 'vm-01'),
      '--at=reserveResources',
      '--from-open',
    );
    await refuses(/Still open are .*fast-save\/host-08/, service.workflowId, '--at=stageUpdate');
    await service.result();
    await refuses(
      /All of these have ended well, so there is nothing to go on with: start a new serviceHost/,
      service.workflowId,
      '--at=stageUpdate',
    );
    await expectUnharmed('host-08');
  });

  test('a fleet', async () => {
    const fleet = await suite.start('updateFleet', {
      update: { version: '2.0.0' },
      hosts: ['host-09'],
      dryRun: true,
    });
    await fleet.result();
    await refuses(/--retry-failed/, fleet.workflowId, '--at=preflight');
  });
});

test('what the host refuses ends with 2 too, and leaves an open old run alone', async () => {
  const old = await stuckSave('host-09', '12s');
  suite.stack.store.update('host-09', 'vm-01', ({ vm }) => {
    for (const { vpci } of vm.adapters) vpci.hold = 'block';
  });
  const ran = await fork(old.workflowId, '--at=saveVm', '--from-open');
  expect(ran.code).toBe(2);
  expect(ran.out).toContain('its hold is set already, as block');
  expect(ran.err).toContain('The new run was not given the VM: the old run is left alone.');
  expect((await old.describe()).status.name).toBe('RUNNING');
  await old.cancel();
  await ending(old);
});
