import type { VmStep } from '../../contract/steps';

/** What does a step, or decides on it: a function, constant or class that is defined in that file. */
export interface CodeOfClaim {
  readonly file: string;
  readonly name: string;
}
/** A claim of US 2024/0427619 A1, and where it is put into practice. Its tests name it themselves: `claim 6: …`. */
export interface Claim {
  readonly number: number;
  /** In one line and in the words that this repository uses; the claim's own wording is in the publication. */
  readonly gist: string;
  /** In the order in which the workflows perform them. */
  readonly steps: readonly VmStep[];
  readonly code: readonly CodeOfClaim[];
}

const FAST_SAVE = 'workflows/fast-save.ts';
const RESTORE_VM = 'workflows/restore-vm.ts';
const FLOWS = 'contract/flows.ts';
const SAVE = 'hosts/simulator/operations/save.ts';
const TEAR_DOWN = 'hosts/simulator/operations/tear-down.ts';
const RESTORE = 'hosts/simulator/operations/restore.ts';
const RESUME = 'hosts/simulator/operations/resume.ts';
const VSP = 'hosts/simulator/devices/vpci-vsp.ts';
const ADAPTER = 'hosts/simulator/devices/synthetic-network-adapter.ts';
const REPOSITORY = 'hosts/simulator/devices/runtime-repository.ts';
const SWITCH = 'hosts/simulator/devices/vm-switch.ts';

const code = (file: string, ...names: readonly string[]): CodeOfClaim[] =>
  names.map((name) => ({ file, name }));

export const CLAIMS: readonly Claim[] = [
  {
    number: 1,
    gist: 'Save: optimizations go off while the VF stays allocated, assigned and connected; the VSP saves the VF state, VF ID and LUID are written, the VM switch saves the synthetic adapter.',
    steps: [
      'disableOptimizations',
      'saveVirtualFunctionState',
      'writeVirtualFunctionInfo',
      'saveSyntheticAdapter',
    ],
    code: [
      ...code(FAST_SAVE, 'fastSave'),
      ...code(SAVE, 'disableOptimizations', 'saveSyntheticAdapter'),
      ...code(SWITCH, 'issueNicSave'),
    ],
  },
  {
    number: 2,
    gist: 'The VSP is kept from unassigning and releasing the VF in one of three hold modes: told to skip it, never told to do it, or it blocks it.',
    steps: ['disableOptimizations'],
    code: [
      ...code('contract/inputs.ts', 'HOLD_MODES'),
      ...code(VSP, 'setHold', 'unassignDevice'),
      ...code('hosts/simulator/custody.ts', 'FORBIDDEN_IN_CUSTODY'),
    ],
  },
  {
    number: 3,
    gist: 'Whether the VF is still allocated and assigned is determined.',
    steps: ['saveVirtualFunctionState'],
    code: code(SAVE, 'saveVirtualFunctionState', 'determine'),
  },
  {
    number: 4,
    gist: 'Only if it is, the VSP is called to save the VF state into the runtime repository.',
    steps: ['saveVirtualFunctionState', 'writeVirtualFunctionInfo'],
    code: [
      ...code(FAST_SAVE, 'withoutVfRecordIn'),
      ...code(SAVE, 'saveVirtualFunctionState', 'withoutVfIfGone'),
      ...code('hosts/engine/commands.ts', 'issueCommand'),
    ],
  },
  {
    number: 5,
    gist: 'One write of VF info puts VF ID and LUID into the runtime repository.',
    steps: ['writeVirtualFunctionInfo'],
    code: code(SAVE, 'writeVirtualFunctionInfo'),
  },
  {
    number: 6,
    gist: 'After the VM is saved, a bus interface that is still active is freed; the connection that was made through it stays.',
    steps: ['saveVm', 'resetVpciBusInterface'],
    code: [...code(FLOWS, 'saveFlow'), ...code(TEAR_DOWN, 'resetVpciBusInterface')],
  },
  {
    number: 7,
    gist: 'It is freed by a reset of the bus interface, which the VSP is called for.',
    steps: ['resetVpciBusInterface'],
    code: [...code(TEAR_DOWN, 'resetVpciBusInterface'), ...code(VSP, 'resetBusInterface')],
  },
  {
    number: 8,
    gist: 'The synthetic adapter is torn down.',
    steps: ['tearDownSyntheticAdapter'],
    code: [...code(TEAR_DOWN, 'tearDownSyntheticAdapter'), ...code(ADAPTER, 'tearDown')],
  },
  {
    number: 9,
    gist: 'Restore: VF ID and LUID are retrieved, the VSP creates a bus interface, the VF is assigned and its state restored, the VM switch resumes the synthetic adapter.',
    steps: [
      'powerOnRestore',
      'createVpciBus',
      'assignVirtualFunction',
      'restoreVirtualFunctionState',
      'resumeSyntheticAdapter',
    ],
    code: [
      ...code('workflows/fast-restore.ts', 'fastRestore'),
      ...code(FLOWS, 'restoreFlow'),
      ...code(RESUME, 'resumeSyntheticAdapter'),
    ],
  },
  {
    number: 10,
    gist: 'Before that the adapter is initialized, resources are reserved, and power-on-restore reads VDEV version, number of saved blocks and VF info, by which the adapter retrieves the ids.',
    steps: ['initializeSyntheticAdapter', 'reserveResources', 'powerOnRestore'],
    code: [
      ...code(RESTORE_VM, 'restoreVm'),
      ...code(RESTORE, 'initializeSyntheticAdapter', 'reserveResources', 'powerOnRestore'),
      ...code(REPOSITORY, 'claimRecord'),
    ],
  },
  {
    number: 11,
    gist: 'The VSP is called to create the bus interface.',
    steps: ['createVpciBus'],
    code: [...code(RESTORE, 'createVpciBus'), ...code(VSP, 'createBusInterface')],
  },
  {
    number: 12,
    gist: 'The VF is assigned by the VF ID and LUID from the runtime repository.',
    steps: ['assignVirtualFunction'],
    code: [...code(RESTORE, 'assignVirtualFunction'), ...code(VSP, 'adoptDevice')],
  },
  {
    number: 13,
    gist: 'Creating the bus interface ends, after the assignment, with the connection of the VF to the hardware.',
    steps: ['createVpciBus', 'assignVirtualFunction'],
    code: [...code(RESTORE, 'assignVirtualFunction'), ...code(VSP, 'connectDevice')],
  },
  {
    number: 14,
    gist: 'The VSP is called to restore the VF state from what was saved of it.',
    steps: ['restoreVirtualFunctionState'],
    code: code(RESTORE, 'restoreVirtualFunctionState'),
  },
  {
    number: 15,
    gist: 'The parameters of the device are those of the VF info, with its VF ID and LUID.',
    steps: ['powerOnRestore', 'assignVirtualFunction', 'restoreVirtualFunctionState'],
    code: [...code(RESTORE, 'checkIdentity'), ...code(VSP, 'adoptDevice')],
  },
  {
    number: 16,
    gist: 'The flags "VF assigned" and "VF ID allocated" are set, and the IOV weight is non-zero.',
    steps: ['markVirtualFunctionAssigned'],
    code: [...code(RESTORE, 'markVirtualFunctionAssigned'), ...code(ADAPTER, 'markAssigned')],
  },
  {
    number: 17,
    gist: 'One function retrieves the ids, assigns the VF and restores its state: virtualFunctionRestore "one-step".',
    steps: ['retrieveAndRestoreVirtualFunction'],
    code: [...code(FLOWS, 'restoreFlow'), ...code(RESTORE, 'retrieveAndRestoreVirtualFunction')],
  },
  {
    number: 18,
    gist: 'After the VM is resumed, bus creation, allocation and assignment are skipped, since the VF is assigned.',
    steps: ['resumeVm', 'enableOptimizations'],
    code: [
      ...code(RESTORE_VM, 'restoreVm'),
      ...code('workflows/undo-save.ts', 'undoSave'),
      ...code(RESUME, 'enableOptimizations'),
    ],
  },
  {
    number: 19,
    gist: 'The method of claim 1.',
    steps: [
      'disableOptimizations',
      'saveVirtualFunctionState',
      'writeVirtualFunctionInfo',
      'saveSyntheticAdapter',
    ],
    code: [...code(FAST_SAVE, 'fastSave'), ...code(FLOWS, 'saveFlow')],
  },
  {
    number: 20,
    gist: 'The method of claims 8 to 10: save and restore in one run.',
    steps: [
      'tearDownSyntheticAdapter',
      'initializeSyntheticAdapter',
      'reserveResources',
      'powerOnRestore',
      'createVpciBus',
      'assignVirtualFunction',
      'restoreVirtualFunctionState',
      'resumeSyntheticAdapter',
    ],
    code: [
      ...code('workflows/service-host.ts', 'serviceHost'),
      ...code('workflows/service-in-turn.ts', 'serviceInTurn'),
    ],
  },
];
