/** A fork, as the workflows see it: what an older run has done is not performed again, and the rest is as in any run. */
import type { WorkflowHandle } from '@temporalio/client';
import { restoreFlow, saveFlow } from '../../contract/flows';
import type { Adoption } from '../../contract/host';
import { MODES, VIRTUAL_FUNCTION_RESTORES } from '../../contract/inputs';
import type { StepReport, VmStep } from '../../contract/steps';
import { SimulatedHosts } from '../../hosts/simulator/simulated-host';
import { Suite, ending } from '../support/suite';

let suite: Suite;
beforeAll(async () => {
  suite = await Suite.on({ vms: 2 }, 14);
});
afterAll(() => suite.stop());

/** A VM of a host that no other test uses. */
const fresh = () => ({ hostId: suite.freshHost(), vmId: 'vm-01' });
const names = (steps: readonly StepReport[]) => steps.map(({ name }) => name);
const adopted = (steps: readonly StepReport[]) =>
  names(steps.filter(({ status }) => status === 'adopted'));
const before = (flow: readonly VmStep[], step: VmStep) => flow.slice(0, flow.indexOf(step));

/** The VM's present generation, as the host has it, adopted from a run. */
async function adoptionOf<At extends VmStep>(
  handle: WorkflowHandle,
  { hostId, vmId }: { hostId: string; vmId: string },
  at: At,
): Promise<Adoption & { readonly at: At }> {
  const { runId } = await handle.describe();
  const { lease, generation } = suite.stack.store.vm(hostId, vmId);
  return { workflowId: handle.workflowId, runId, generation: lease?.generation ?? generation, at };
}

/** A save that is terminated while its VM is dark, at `saveVm`. */
async function terminatedSave(target: { hostId: string; vmId: string }, blackoutBudget = '20s') {
  const handle = await suite.start('fastSave', {
    ...target,
    blackoutBudget,
    faults: [{ step: 'saveVm', kind: 'stuck', times: 1000 }],
  });
  await suite.until(target.hostId, target.vmId, 'saveVm', 'intent');
  await handle.terminate('for a test');
  return handle;
}

/** What the host says of itself, read from its own store. */
const describeHost = (hostId: string) =>
  new SimulatedHosts(suite.stack.store, { timeScale: 1, operations: {} }).describe(hostId);

async function expectHeld(hostId: string): Promise<void> {
  const { forbiddenCommands, invariants } = await describeHost(hostId);
  expect({ forbiddenCommands, violated: invariants.violated }).toEqual({
    forbiddenCommands: 0,
    violated: 0,
  });
}

// First, since it takes longest: the others run beside it.
test.concurrent(
  'a host that refuses ends the run typed, and the dead-man brings the VM back as if nobody had asked',
  async () => {
    const target = fresh();
    // Long enough for all of them to be refused before it is over, on a busy machine too.
    const old = await terminatedSave(target, '15s');
    const adopt = await adoptionOf(old, target, 'saveVm');
    const refusals = [
      [{ generation: adopt.generation + 1 }, /has generation \d+ now, not/],
      [{ at: 'tearDownSyntheticAdapter' }, /go on at saveVm at the latest/],
      [{ runId: 'another' }, /not workflow .*, run another/],
    ] as const;
    await Promise.all(
      refusals.map(async ([wrong, message]) => {
        const ended = await suite.fails('fastSave', { ...target, adopt: { ...adopt, ...wrong } });
        expect(ended).toMatchObject({
          type: 'AdoptRefused',
          message: expect.stringMatching(message) as string,
        });
      }),
    );
    expect(suite.stack.store.vm(target.hostId, target.vmId).lease?.generation).toBe(
      adopt.generation,
    );
    await suite.untilPhase(target.hostId, target.vmId, 'running', 40_000);
    const late = await suite.fails('fastSave', { ...target, adopt });
    expect(late).toMatchObject({
      type: 'AdoptRefused',
      message: expect.stringContaining('it is running, nobody holds it') as string,
    });
    await expectHeld(target.hostId);
  },
);

test.concurrent.each(
  MODES.flatMap((mode) => VIRTUAL_FUNCTION_RESTORES.map((way) => [mode, way] as const)),
)(
  'the flows that forks go by are what the workflows do (%s, %s)',
  async (mode, virtualFunctionRestore) => {
    const target = fresh();
    const saved = await suite.run('fastSave', { ...target, mode });
    expect(names(saved.steps)).toEqual(saveFlow({ mode }));
    const restored = await suite.run('fastRestore', { ...target, virtualFunctionRestore });
    // A VF that was given back is attached anew before the end.
    const forward = restored.steps.filter(({ direction }) => direction === 'forward');
    const flow = restoreFlow({ mode, virtualFunctionRestore });
    const end = mode === 'conventional' ? flow.slice(0, -1) : flow;
    expect(names(forward)).toEqual(end);
  },
);

test.concurrent(
  'a save that was terminated in the dark goes on at the step it was at',
  async () => {
    const target = fresh();
    const identity = suite.vm(target.hostId, target.vmId).identity;
    const old = await terminatedSave(target);
    const adopt = await adoptionOf(old, target, 'saveVm');
    const saved = await suite.run('fastSave', {
      ...target,
      blackoutBudget: '30s',
      adopt,
    });
    const flow = saveFlow({ mode: 'modified' });
    expect(names(saved.steps)).toEqual(flow);
    expect(adopted(saved.steps)).toEqual(before(flow, 'saveVm'));
    expect(saved).toMatchObject({ outcome: 'saved', withoutVfRecord: null, identity });
    const restored = await suite.run('fastRestore', target);
    expect(restored.vm).toMatchObject({ path: 'kept', identityAfter: identity });
    await expectHeld(target.hostId);
  },
);

test.concurrent(
  'a stranded restore goes on in another way, and the host is in service again',
  async () => {
    const target = fresh();
    const saved = await suite.run('fastSave', target);
    const old = await suite.start('fastRestore', {
      ...target,
      blackoutBudget: '6s',
      faults: [{ step: 'powerOnRestore', kind: 'fail-before', times: 1000 }],
    });
    expect((await ending(old)).type).toBe('VmStranded');
    const adopt = await adoptionOf(old, target, 'powerOnRestore');
    const virtualFunctionRestore = 'one-step';
    const restored = await suite.run('fastRestore', {
      ...target,
      virtualFunctionRestore,
      adopt,
    });
    const flow = restoreFlow({ mode: 'modified', virtualFunctionRestore });
    expect(names(restored.steps)).toEqual(flow);
    expect(adopted(restored.steps)).toEqual(before(flow, 'powerOnRestore'));
    expect(restored.vm).toMatchObject({ path: 'kept', running: true, guestVisibleEvents: 0 });
    expect(restored.vm.identityAfter).toEqual(saved.identity);
    expect((await describeHost(target.hostId)).quarantine).toBeNull();
    await expectHeld(target.hostId);
  },
);

test.concurrent(
  'a fork that fails before the point of no return is undone like any save',
  async () => {
    const target = fresh();
    const identity = suite.vm(target.hostId, target.vmId).identity;
    const old = await terminatedSave(target);
    const ended = await suite.fails('fastSave', {
      ...target,
      blackoutBudget: '5s',
      adopt: await adoptionOf(old, target, 'saveVm'),
      faults: [{ step: 'saveVm', kind: 'fail-before', times: 1000 }],
    });
    expect(ended.type).toBe('SaveUndone');
    expect(suite.vm(target.hostId, target.vmId)).toMatchObject({
      phase: 'running',
      dataPath: 'vf',
      identity,
    });
    await expectHeld(target.hostId);
  },
);

test.concurrent(
  'a fork that is cancelled before the point of no return is undone, and its VM keeps its VF',
  async () => {
    const target = fresh();
    const identity = suite.vm(target.hostId, target.vmId).identity;
    const old = await terminatedSave(target);
    const fork = await suite.start('fastSave', {
      ...target,
      blackoutBudget: '30s',
      adopt: await adoptionOf(old, target, 'saveVm'),
      faults: [{ step: 'saveVm', kind: 'slow', delay: '1s' }],
    });
    await suite.until(target.hostId, target.vmId, 'adopt', 'result');
    await fork.cancel();
    expect((await ending(fork)).type).toBe('Cancelled');
    expect(suite.vm(target.hostId, target.vmId)).toMatchObject({ phase: 'running', identity });
    await expectHeld(target.hostId);
  },
);

test.concurrent.each([
  [{ at: 'powerOnRestore' }, 'adopt.at'],
  [{ generation: 0 }, 'adopt.generation'],
  [{ runId: '' }, 'adopt.runId'],
  [{ vmId: 'vm-02' }, 'vmId'],
])('an adoption with %j is bad input', async (wrong, named) => {
  const right = { workflowId: 'old', runId: 'run', generation: 1, at: 'saveVm' };
  const ended = await suite.fails('fastSave', { ...fresh(), adopt: { ...right, ...wrong } });
  expect(ended).toMatchObject({
    type: 'InvalidInput',
    message: expect.stringContaining(named) as string,
  });
});
