import type { Fault } from '../../../contract/faults';
import type { ServicingOrder, VmPhase } from '../../../contract/host';
import type { VmStep } from '../../../contract/steps';
import { DeadMan } from '../../../hosts/engine/dead-man';
import {
  HostRun,
  IN_SERVICING_SAVE,
  PREPARE_RESTORE,
  RESTORE,
  ROLLING,
  SimulatedFleet,
  settledSoon,
  type Pair,
} from './simulated-fleet';

/** The hosts of the test that runs. */
export let fleet: SimulatedFleet;
export const use = (vms = 2, more: object = {}) => (fleet = new SimulatedFleet({ vms, ...more }));

export const UPDATE = { component: 'vmWorkerProcess', version: '2.0.0' } as const;
export async function arm(
  faults: readonly Fault[] = [],
  {
    rolling = {},
    ...more
  }: { rolling?: object } & Partial<Omit<ServicingOrder, 'rolling' | 'settings'>> = {},
): Promise<HostRun> {
  const order = { update: UPDATE, rolling: { ...ROLLING, ...rolling }, faults, ...more };
  const host = await HostRun.arm(fleet, order);
  await host.perform('stageUpdate');
  return host;
}
export const hostFault = (kind: Fault['kind']): Fault => ({
  step: 'stageUpdate',
  kind,
  times: 1,
  delay: '1s',
});
export const servicing = () => {
  const { servicing: run } = fleet.store.host('host-01');
  if (run === null) throw new Error('no servicing run');
  return run;
};
export const versions = async () =>
  (await fleet.hosts.describe('host-01')).vms.map((vm) => vm.stackVersion);

/** What a restore does before its VM goes down. */
export const PREPARE = PREPARE_RESTORE.filter((s) => s !== 'awaitUpdate');
export const DARK_RESTORE = RESTORE.slice(RESTORE.indexOf('awaitUpdate'));
export const AFTER_GATE = RESTORE.slice(
  RESTORE.indexOf('powerOnRestore'),
  RESTORE.indexOf('resumeVm') + 1,
);
export const upTo = <Step extends VmStep>(steps: readonly Step[], step: VmStep) =>
  steps.slice(0, steps.indexOf(step as Step));

/** Both runs of a VM, as the workflows go: the restore prepares and waits, the save goes down, the restore brings it back. */
export async function service(host: HostRun, vmId: string) {
  const { save, restore } = await host.begin(vmId);
  await restore.performAll(PREPARE);
  const restoring = restore.performAll(DARK_RESTORE, true);
  const saving = save.performAll(IN_SERVICING_SAVE, true);
  return Promise.allSettled([saving, restoring]);
}
/** A VM that is down, with its restore at the gate. */
export async function down(host: HostRun, vmId = 'vm-01'): Promise<Pair> {
  const pair = await host.begin(vmId);
  await pair.restore.performAll(PREPARE);
  const waiting = pair.restore.perform('awaitUpdate');
  await pair.save.performAll(IN_SERVICING_SAVE);
  await waiting;
  return pair;
}
export async function expectKept(vmId: string, stackVersion: string): Promise<void> {
  const { phase, facts, holder } = await fleet.facts(vmId);
  expect({ phase, holder }).toEqual({ phase: 'running', holder: null });
  expect(facts).toMatchObject({ path: 'kept', stackVersion, guestVisibleEvents: 0 });
  expect(facts.identityAfter).toEqual(facts.identityBefore);
}

/** The dead-man comes to a VM at once, and watches until nobody holds it and it is as it is to be. */
export async function rescued(vmId = 'vm-01', phase: VmPhase = 'running'): Promise<void> {
  fleet.change(({ vm }) => void (vm.deadlineMs = 1), vmId);
  const said: string[] = [];
  const stop = new AbortController();
  const watching = new DeadMan(fleet.hosts, (line) => said.push(line)).watch(stop.signal);
  for (const until = Date.now() + 30_000; ; await settledSoon(10)) {
    const seen = await fleet.facts(vmId);
    if (seen.phase === phase && seen.holder === null) break;
    if (Date.now() > until) throw new Error(`${vmId} is ${seen.phase}: ${said.join('; ')}`);
  }
  stop.abort();
  await watching;
}

export async function backOnTheOld({ restore }: Pair): Promise<void> {
  await restore.fence('recover');
  await restore.perform('retreatToOldStack');
  await restore.performAll([...AFTER_GATE, 'enableOptimizations', 'verifyRestore']);
}
