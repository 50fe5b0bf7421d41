import type { VmDescription } from '../../contract/host';
import type { Component } from '../../contract/inputs';
import { BOOT_ID } from './clock';
import { darkForMs, phaseOf } from './phase';
import type { CoreHost, CoreImage, CoreVm } from './state';

/** What the engine keeps of a VM that nothing was done to yet. */
export const newCoreVm = (vmId: string): CoreVm => ({
  vmId,
  generation: 0,
  lease: null,
  nextLease: null,
  mailbox: null,
  faults: [],
  pointOfNoReturn: null,
  deadlineMs: null,
  blackoutMs: 0,
  withinBudget: true,
  path: 'kept',
  pathReason: null,
  stranded: null,
});

/** What it keeps of a host with these VMs, on which all software has one version. */
export const newCoreHost = (
  hostId: string,
  vmIds: readonly string[],
  version: string,
): CoreHost => ({
  hostId,
  bootId: BOOT_ID,
  vmIds,
  generation: 0,
  lease: null,
  servicing: null,
  versions: {
    vmWorkerProcess: version,
    vpciVsp: version,
    vmSwitch: version,
    pfDriver: version,
    nicFirmware: version,
    hypervisor: version,
  } satisfies Record<Component, string>,
  staged: null,
  previous: null,
  mailbox: null,
  faults: [],
  quarantine: null,
  stranded: [],
  journalSeq: 0,
  commands: { forbidden: 0 },
  invariants: { checked: 0, violations: [] },
});

/** The engine's part of what a host says of a VM. */
export function describeCore(vm: CoreVm, image: CoreImage, nowMs: number) {
  const { running } = image;
  const dark = darkForMs(image, nowMs);
  return {
    vmId: vm.vmId,
    phase: phaseOf(vm, image),
    holder: vm.lease?.holder ?? null,
    generation: vm.generation,
    crossed: vm.pointOfNoReturn !== null,
    darkForMs: dark,
    blackouts: vm.blackouts ?? [],
    stackVersion: image.version,
    facts: {
      running,
      path: vm.path,
      pathReason: vm.pathReason,
      blackoutMs: running ? vm.blackoutMs : dark,
      withinBudget: vm.withinBudget,
      stackVersion: image.version,
    },
  } as const satisfies Partial<Omit<VmDescription, 'facts'>> & {
    readonly facts: Partial<VmDescription['facts']>;
  };
}
