import type { OperationSettings } from './host';
import type { Mode } from './inputs';
import { DETACH_VIRTUAL_FUNCTION, VM_STEPS, type VmStep } from './steps';

/**
 * The steps of a save and of a restore that meets no failure, in the order in which `workflows/fast-save.ts` and
 * `workflows/restore-vm.ts` perform them. A fork goes on from one of these; the host checks that those before it are in
 * place. A test holds them against what the workflows do.
 */
const SAVE = {
  modified: [
    'disableOptimizations',
    'awaitPause',
    'pauseVm',
    'saveVirtualFunctionState',
    'writeVirtualFunctionInfo',
    'saveSyntheticAdapter',
    'saveVm',
    'crossPointOfNoReturn',
    'resetVpciBusInterface',
    'tearDownSyntheticAdapter',
    'awaitResume',
    'concludeSave',
  ],
  conventional: [
    ...DETACH_VIRTUAL_FUNCTION,
    'awaitPause',
    'pauseVm',
    'saveSyntheticAdapter',
    'saveVm',
    'crossPointOfNoReturn',
    'resetVpciBusInterface',
    'disconnectSyntheticAdapter',
    'tearDownSyntheticAdapter',
    'awaitResume',
    'concludeSave',
  ],
} as const satisfies Record<Mode, readonly VmStep[]>;

const PREPARATION = [
  'initializeSyntheticAdapter',
  'reserveResources',
  'awaitUpdate',
  'powerOnRestore',
] as const satisfies readonly VmStep[];
const END = ['resumeSyntheticAdapter', 'resumeVm', 'enableOptimizations', 'verifyRestore'] as const;

const RESTORE = {
  'step-by-step': [
    ...PREPARATION,
    'createVpciBus',
    'assignVirtualFunction',
    'restoreVirtualFunctionState',
    'restoreVm',
    'markVirtualFunctionAssigned',
    ...END,
  ],
  'one-step': [
    ...PREPARATION,
    'retrieveAndRestoreVirtualFunction',
    'restoreVm',
    'markVirtualFunctionAssigned',
    ...END,
  ],
  conventional: [...PREPARATION, 'restoreVm', 'connectSyntheticAdapter', ...END],
} as const satisfies Record<string, readonly VmStep[]>;

export const saveFlow = ({ mode }: Pick<OperationSettings, 'mode'>): readonly VmStep[] =>
  SAVE[mode];

/** A restore has no mode of its own: it obeys the record's. */
export const restoreFlow = ({
  mode,
  virtualFunctionRestore,
}: Pick<OperationSettings, 'mode' | 'virtualFunctionRestore'>): readonly VmStep[] =>
  RESTORE[mode === 'conventional' ? 'conventional' : virtualFunctionRestore];

/** The part of a flow that is issued ahead as one list: from the gate before the pause, or the update, to the running VM. */
export const issuedAhead = (flow: readonly VmStep[]): readonly VmStep[] => {
  const last = flow.includes('awaitResume') ? 'awaitResume' : 'resumeVm';
  const first = flow.findIndex((step) => step === 'awaitPause' || step === 'awaitUpdate');
  return flow.slice(first, flow.indexOf(last) + 1);
};

/** Whether a step only waits for the other VMs of a servicing run; the mark waits for them and has an effect too. */
export const waitsForOthers = (step: VmStep): boolean =>
  VM_STEPS[step].kind === 'waits' && step !== 'crossPointOfNoReturn';

/** The steps of a flow that a VM performs outside a servicing run. */
export const alone = (flow: readonly VmStep[]): VmStep[] =>
  flow.filter((step) => !waitsForOthers(step));

/** All that a fork of a save, or of a restore, may name. */
export const SAVE_FLOW_STEPS = [...new Set([...SAVE.modified, ...SAVE.conventional])];
export const RESTORE_FLOW_STEPS = [
  ...new Set([...RESTORE['step-by-step'], ...RESTORE['one-step'], ...RESTORE.conventional]),
];
