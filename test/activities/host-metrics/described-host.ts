import type { HostDescription, Operation, VmDescription } from '../../../contract/host';
import type { StepOutcome, VmStep } from '../../../contract/steps';

const identity = {
  vfId: 1,
  luid: '0x1',
  rid: '3b:02.1',
  serialNumber: 1,
  macAddress: '00:15:5d:00:00:01',
  instanceGuid: 'guid',
};

/** A VM that runs, has its VF and was never dark, except for what is said otherwise. */
export const aVm = (
  said: Partial<Omit<VmDescription, 'facts'>> & { facts?: Partial<VmDescription['facts']> } = {},
): VmDescription => ({
  vmId: 'vm-01',
  phase: 'running',
  holder: null,
  generation: 1,
  crossed: false,
  darkForMs: 0,
  identity,
  dataPath: 'vf',
  heartbeat: 'ok',
  blackouts: [],
  stackVersion: '1.0.0',
  adapterClass: 'network',
  ...said,
  facts: {
    running: true,
    path: 'kept',
    pathReason: null,
    identityBefore: identity,
    identityAfter: said.identity === undefined ? identity : said.identity,
    blackoutMs: 0,
    vfOutageMs: 0,
    guestVisibleEvents: 0,
    droppedPackets: 0,
    withinBudget: true,
    stackVersion: '1.0.0',
    ...said.facts,
  },
});

export const aHost = (
  vms: readonly VmDescription[],
  said: Partial<HostDescription> = {},
): HostDescription => ({
  hostId: 'host-01',
  driver: 'simulator',
  faults: true,
  bootId: 'boot',
  versions: {
    vmWorkerProcess: '1.0.0',
    vpciVsp: '1.0.0',
    vmSwitch: '1.0.0',
    pfDriver: '1.0.0',
    nicFirmware: '1.0.0',
    hypervisor: '1.0.0',
  },
  capabilities: { custodyBelowVsp: true, recordVersions: [1] },
  holder: null,
  quarantine: null,
  journalSeq: 0,
  forbiddenCommands: 0,
  forbiddenSinceServicing: 0,
  describedAtMs: 5_000,
  invariants: { checked: 0, violated: 0 },
  ...said,
  vms,
});

export const lease = (said: Partial<Operation> = {}): Operation => ({
  generation: 1,
  settings: {
    mode: 'modified',
    holdMode: 'instruct-skip',
    virtualFunctionRestore: 'step-by-step',
    blackoutBudgetMs: 10_000,
    maxSavedForMs: 300_000,
  },
  inServicing: true,
  identity,
  darkForMs: 0,
  crossed: false,
  phase: 'preparing',
  canRetreat: false,
  ...said,
});

export const outcome = <Step extends VmStep>(
  said: Partial<StepOutcome<Step>> = {},
): StepOutcome<Step> => ({
  status: 'done',
  hostTimeMs: 1,
  ms: 4,
  attempts: 1,
  darkForMs: 0,
  evidence: {},
  ...said,
});
