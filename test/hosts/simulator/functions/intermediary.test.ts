/** The function policy before every function command of the host's own steps: the second guard of each hold, fail closed. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HOLD_MODES } from '../../../../contract/inputs';
import { emulatedFunctionOf } from '../../../../contract/functions';
import {
  BUILT_IN,
  readPolicy,
  type PolicyFile,
} from '../../../../hosts/function-policy/policy-file';
import { issueCommand } from '../../../../hosts/engine/commands';
import { ensurePolicy, loadPolicy } from '../../../../hosts/simulator/functions/policy-in-force';
import { SimulatedHosts } from '../../../../hosts/simulator/simulated-host';
import { SimulatorStore } from '../../../../hosts/simulator/store';
import {
  NO_LATENCY,
  RESTORE,
  RESTORE_IN_ONE_STEP,
  SAVE,
  SAVE_TO_MARK,
  VmRun,
} from '../simulated-fleet';
import { FunctionFleet, OPERATOR } from './function-fleet';

const EPF = emulatedFunctionOf('host-01', 'vm-01');

let fleet: FunctionFleet;
beforeEach(() => (fleet = new FunctionFleet({ hosts: 1, vms: 2 })));
afterEach(() => fleet.close());

/** No policy from now on, by the ways in which that may come about. */
const breakPolicy = {
  'the database holds none': () => {
    fleet.store.functions.putRecord({ version: 'x', source: BUILT_IN, unavailable: 'a test' });
  },
  'what it holds cannot be read': () => {
    fleet.store.functions.putRecord({
      version: 'y',
      source: BUILT_IN,
      policy: { everywhere: 'nothing' } as unknown as PolicyFile,
    });
  },
} as const;
type Break = keyof typeof breakPolicy;
const WAYS = Object.keys(breakPolicy) as Break[];
const withoutPolicy = (): void => breakPolicy['the database holds none']();

const changed = (edit: (policy: PolicyFile) => PolicyFile): string => {
  const path = join(fleet.directory, 'policy.json');
  writeFileSync(path, JSON.stringify(edit(readPolicy(BUILT_IN).policy)));
  return path;
};

describe('the second guard of a hold', () => {
  /** The first guard goes: the host has no custody of the VF any more. */
  const withoutCustody = () =>
    fleet.change(({ adapter }) => {
      adapter.custody = null;
    });
  const COMMANDS = [
    'StopVm',
    'CheckpointVm',
    'MigrateVm',
    'SetIovWeight',
    'OID_NIC_SWITCH_FREE_VF',
    'OID_SRIOV_RESET_VF',
    'OID_NIC_SWITCH_DELETE_VPORT',
    'OID_RECEIVE_FILTER_MOVE_FILTER',
    'VPCI.UnassignDevice',
    'VPCI.Eject',
  ] as const;

  test.each(HOLD_MODES.flatMap((mode) => COMMANDS.map((command) => [mode, command] as const)))(
    'in hold mode %s refuses %s by itself, from the hold to its release, and counts it',
    async (holdMode, command) => {
      const save = await VmRun.save(fleet, 'vm-01', { settings: { holdMode } });
      await save.perform('disableOptimizations');
      withoutCustody();
      const refused = async () => {
        const before = fleet.photograph();
        await expect(fleet.hosts.foreignCommand('host-01', 'vm-01', command)).rejects.toMatchObject(
          {
            type: 'FunctionPolicyDenied',
            facts: { rule: 'held-vf-stays' },
          },
        );
        expect(fleet.photograph()).toBe(before);
      };
      await refused();
      await save.performAll(SAVE.filter((step) => step !== 'disableOptimizations'));
      await refused();
      await (await VmRun.restore(fleet)).performAll(RESTORE);
      expect((await fleet.hosts.describe('host-01')).forbiddenCommands).toBe(2);
      // Released, it is another reason that stops it.
      await expect(fleet.hosts.foreignCommand('host-01', 'vm-01', command)).rejects.toMatchObject({
        type: 'Refused',
      });
    },
  );

  test.each([
    'moveFiltersToDefaultVPort',
    'deleteVPort',
    'resetVirtualFunction',
    'freeVirtualFunction',
    'ejectVirtualFunction',
  ] as const)('refuses our own %s as well', async (step) => {
    const save = await VmRun.save(fleet);
    await save.perform('disableOptimizations');
    withoutCustody();
    const before = fleet.photograph();
    await expect(save.perform(step)).rejects.toMatchObject({ type: 'FunctionPolicyDenied' });
    expect(fleet.photograph()).toBe(before);
  });
});

test('every function command of a save and a restore is in the journal with the rule that allowed it', async () => {
  await (await VmRun.save(fleet)).performAll(SAVE);
  await (await VmRun.restore(fleet)).performAll(RESTORE);
  expect(fleet.decisions().map(({ command, rule }) => [command, rule])).toEqual(
    [
      'VPCI.SetHold',
      'VPCI.DrainTransactions',
      'SyntheticNic.DetermineVfAllocatedAndAssigned',
      'VPCI.SaveDeviceState',
      'SyntheticNic.DetermineVfAllocatedAndAssigned',
      'VPCI.ResetBusInterface',
      'VPCI.CreateBus',
      'VPCI.AssignDevice',
      'VPCI.CreateBus (connect)',
      'VPCI.ReadAssignment',
      'VPCI.RestoreDeviceState',
      'VDEV.MarkVirtualFunctionAssigned',
      'VPCI.ReleaseHold',
    ].map((command) => [command, 'servicing']),
  );
});

test('a command to a function that nobody has classified is denied', () => {
  const target = { hostId: 'host-01', vmId: 'vm-01', step: 'test', generation: 0 };
  const issue = (command: string) => () =>
    issueCommand(fleet.hosts, target, null, command, () => 'done');
  expect(issue('VPCI.Teleport')).toThrow(/denied by rule "unknown-command"/);
  expect(issue('Repository.ReadSettings')()).toBe('done');
});

describe.each(WAYS)('without a valid policy, since %s,', (way) => {
  beforeEach(() => breakPolicy[way]());

  test('every command to a function is denied, and says so', async () => {
    for (const operation of ['describeFunction', 'listFunctions', 'freeVirtualFunction'] as const)
      await expect(fleet.send(EPF, operation)).rejects.toMatchObject({
        type: 'FunctionPolicyUnavailable',
      });
    expect(fleet.decisions()).toHaveLength(3);
    expect(fleet.decisions()[0]).toMatchObject({ status: 'denied', rule: 'policy-unavailable' });
  });

  test('no save begins: nothing is paused that could not be brought back', async () => {
    const before = fleet.photograph();
    await expect(VmRun.save(fleet)).rejects.toMatchObject({ type: 'FunctionPolicyUnavailable' });
    expect(fleet.photograph()).toBe(before);
    expect((await fleet.journal('command')).at(-1)).toMatchObject({
      step: 'beginSave',
      status: 'denied',
      rule: 'policy-unavailable',
    });
  });
});

describe('a policy that goes away later strands no paused VM:', () => {
  const authorised = () => fleet.decisions().filter((d) => d.rule === 'authorised-at-begin-save');

  test.each([
    ['step by step', RESTORE, {}],
    ['in one step', RESTORE_IN_ONE_STEP, { virtualFunctionRestore: 'one-step' }],
  ] as const)('its VF is re-adopted, %s', async (_how, steps, settings) => {
    const identity = (await fleet.facts()).identity;
    const save = await VmRun.save(fleet, 'vm-01', { settings });
    await save.performAll(['disableOptimizations', 'awaitPause', 'pauseVm']);
    withoutPolicy();
    await save.performAll(SAVE.slice(SAVE.indexOf('saveVirtualFunctionState')));
    await (await VmRun.restore(fleet, 'vm-01', { settings })).performAll(steps);
    expect(await fleet.facts()).toMatchObject({
      phase: 'running',
      identity,
      facts: { path: 'kept', guestVisibleEvents: 0 },
    });
    expect(authorised().map(({ command }) => command)).toContain('VPCI.AssignDevice');
    await fleet.expectUnharmed();
  });

  test('its save is undone', async () => {
    const save = await VmRun.save(fleet);
    await save.performAll(SAVE_TO_MARK);
    withoutPolicy();
    await save.fence('undo');
    await save.performAll(['unsaveVm', 'restoreSwitchState', 'discardSavedState', 'resumeVm']);
    await save.performAll(['enableOptimizations', 'endOperation']);
    expect(await fleet.facts()).toMatchObject({ phase: 'running', facts: { path: 'kept' } });
    expect(authorised().map(({ command }) => command)).toEqual(['VPCI.ReleaseHold']);
    await fleet.expectUnharmed();
  });

  test('a VF that is not what it was is given up, in the legal order, and its VM resumes', async () => {
    await (await VmRun.save(fleet)).performAll(SAVE);
    withoutPolicy();
    const restore = await VmRun.restore(fleet);
    await restore.performBefore('createVpciBus', RESTORE);
    await restore.fence('recover');
    await restore.performAll(['detachHeldFunction', 'powerOnRestore', 'restoreVm']);
    await restore.performAll(['markVirtualFunctionAssigned', 'resumeSyntheticAdapter', 'resumeVm']);
    expect((await fleet.facts()).facts).toMatchObject({ running: true, path: 'synthetic-only' });
    expect(authorised().map(({ command }) => command)).toContain('OID_NIC_SWITCH_FREE_VF');
    await fleet.expectUnharmed();
  });

  test('but what was not authorised stays denied: no free while it is held, no attach afterwards', async () => {
    await (await VmRun.save(fleet)).performAll(SAVE);
    withoutPolicy();
    fleet.change(({ adapter }) => {
      adapter.custody = null;
    });
    const restore = await VmRun.restore(fleet);
    await expect(restore.perform('freeVirtualFunction')).rejects.toMatchObject({
      type: 'FunctionPolicyUnavailable',
    });
    await restore.performAll(RESTORE.filter((step) => step !== 'verifyRestore'));
    // The VM runs again, with a lease: now the authority does not reach further than the hold did.
    for (const step of ['resetVirtualFunction', 'deleteVPort'] as const)
      await expect(restore.perform(step)).rejects.toMatchObject({
        type: 'FunctionPolicyUnavailable',
      });
    await restore.perform('verifyRestore');
  });

  test('nor does another VM profit from it, nor the same one for its next save', async () => {
    await (await VmRun.save(fleet)).performAll(SAVE);
    withoutPolicy();
    await expect(VmRun.save(fleet, 'vm-02')).rejects.toMatchObject({
      type: 'FunctionPolicyUnavailable',
    });
    await (await VmRun.restore(fleet)).performAll(RESTORE);
    await expect(
      VmRun.save(fleet, 'vm-01', { holder: { workflowId: 'next', runId: '1' } }),
    ).rejects.toMatchObject({ type: 'FunctionPolicyUnavailable' });
  });

  test('a policy that forbids it later strands none either', async () => {
    await (await VmRun.save(fleet)).performAll(SAVE);
    loadPolicy(
      fleet.store,
      changed(({ everywhere, policies }) => ({
        everywhere: [...everywhere, { id: 'frozen', effect: 'deny', operations: 'all' }],
        policies,
      })),
    );
    await (await VmRun.restore(fleet)).performAll(RESTORE);
    expect((await fleet.facts()).facts).toMatchObject({ path: 'kept' });
    await expect(
      VmRun.save(fleet, 'vm-01', { holder: { workflowId: 'next', runId: '1' } }),
    ).rejects.toMatchObject({ type: 'FunctionPolicyDenied', facts: { rule: 'frozen' } });
  });

  test('a take-over of a VM that is held keeps what was authorised', async () => {
    const save = await VmRun.save(fleet);
    await save.performAll(SAVE_TO_MARK);
    withoutPolicy();
    const next = { workflowId: 'next', runId: '1' };
    const taken = await VmRun.save(fleet, 'vm-01', { holder: next, takeOverFrom: save.holder });
    taken.direction = 'undo';
    await taken.performAll(['unsaveVm', 'restoreSwitchState', 'discardSavedState', 'resumeVm']);
    await taken.performAll(['enableOptimizations', 'endOperation']);
    expect(await fleet.facts()).toMatchObject({ phase: 'running', facts: { path: 'kept' } });
  });
});

describe('the policy in force', () => {
  test('is seen at once by every process that has the directory open', async () => {
    const other = new SimulatorStore(fleet.directory);
    const hosts = new SimulatedHosts(other, NO_LATENCY);
    const ask = (runId: string) =>
      hosts.commandFunction({
        hostId: 'host-01',
        command: { functionId: EPF, operation: 'describeFunction' },
        sender: OPERATOR,
        run: { workflowId: 'other', runId },
        faults: [],
      });
    await ask('1');
    loadPolicy(
      fleet.store,
      changed(({ everywhere, policies }) => ({
        everywhere: [
          ...everywhere,
          { id: 'blind', effect: 'deny', operations: ['describeFunction'] },
        ],
        policies,
      })),
    );
    await expect(ask('2')).rejects.toMatchObject({ facts: { rule: 'blind' } });
    await other.close();
  });

  test('is a person’s own as long as their next file is broken; a broken first one leaves none', () => {
    const good = changed((policy) => policy);
    const { version } = readPolicy(good);
    const bad = join(fleet.directory, 'bad.yaml');
    writeFileSync(bad, 'everywhere: [');
    expect(loadPolicy(fleet.store, bad)).toMatchObject({ staysInForce: null });
    expect(fleet.store.functions.inForce()).toMatchObject({ policy: null });
    ensurePolicy(fleet.store);
    expect(fleet.store.functions.inForce()).toMatchObject({ policy: null });
    expect(loadPolicy(fleet.store, good)).toEqual({ version });
    expect(loadPolicy(fleet.store, bad)).toEqual({
      rejected: expect.stringMatching(/bad\.yaml:1:\d+: /),
      staysInForce: version,
    });
    expect(loadPolicy(fleet.store, join(fleet.directory, 'no-such.yaml'))).toMatchObject({
      rejected: expect.stringContaining('cannot be read'),
      staysInForce: version,
    });
    expect(fleet.store.functions.inForce()).toMatchObject({ policy: { version } });
  });

  test('is the built-in one where a directory never had any', async () => {
    const directory = join(fleet.directory, 'other');
    const store = new SimulatorStore(directory);
    expect(store.functions.inForce()).toMatchObject({ policy: null });
    ensurePolicy(store);
    expect(store.functions.inForce()).toMatchObject({ source: BUILT_IN });
    await store.close();
  });
});
