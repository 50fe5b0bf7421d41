import { HoldfastError } from '../../contract/failures';
import { restoreFlow, saveFlow } from '../../contract/flows';
import type {
  AdoptedStep,
  Adoption,
  Operation,
  OperationSettings,
  VmPhase,
} from '../../contract/host';
import { DEAD_MAN, type Holder } from '../../contract/ids';
import { VM_STEPS, type VmStep } from '../../contract/steps';
import type { BeginRequest } from '../host-driver';
import {
  darkForMs,
  describeHolder,
  endStranding,
  issueLease,
  noteBefore,
  operationOf,
  phaseOf,
  refuseQuarantined,
  refuseUnready,
  sameHolder,
  stopServicing,
} from './leases';
import { emptyMailboxes } from './mailbox';
import { OPERATIONS } from './operations';
import type { StepOperation } from './operations/operation';
import { memberOf } from './servicing';
import type { Lease, Objects, VmState } from './state';

/**
 * A new run goes on where an older one stopped, with what that one has done: record, hold, worker process, successor. The
 * new generation fences the older run. Nothing is believed: each step before the chosen one must have its effect in place.
 */
export function adopt(
  o: Objects,
  request: BeginRequest,
  adoption: Adoption,
  kind: 'save' | 'restore',
): Operation {
  const { vm } = o;
  const found = phaseOf(vm);
  refuseUnlessLeft(o, adoption);
  const parent = leaveServicing(o, request);
  const settings = settingsOf(vm, request, kind);
  const flow = kind === 'save' ? saveFlow(settings) : restoreFlow(settings);
  const before = flow.slice(0, stepIn(flow, adoption.at, vm));
  if (kind === 'save') refuseUnsavable(o, adoption.at, settings, before);
  else refuseUnrestorable(o, adoption.at, before);

  // As a save of its own would begin: of an older one that was undone, or never touched the VM, there is nothing to keep.
  if (kind === 'save' && vm.lease === null && found === 'running') noteBefore(o);
  const lease: Lease = { ...issueLease(o, { ...request, parent }, kind), settings };
  emptyMailboxes(o);
  vm.lease = lease;
  endStranding(vm);
  rekeyRecord(vm, adoption.generation, lease.generation);
  vm.deadlineMs = deadlineMs(o, settings);
  vm.lease = { ...lease, adopted: before.map((step) => observed(o, step, adoption.at, found)) };
  return operationOf(o, vm.lease);
}

const refusal = (vm: VmState, why: string, facts: Readonly<Record<string, unknown>> = {}) =>
  new HoldfastError('AdoptRefused', `${vm.vmId} is not taken over: ${why}.`, {
    phase: phaseOf(vm),
    ...facts,
  });

/** Whoever has had the VM since then has moved on: the older run's view of it is out of date. */
function refuseUnlessLeft({ vm, nowMs }: Objects, { generation, ...run }: Adoption): void {
  const holder = vm.lease?.holder ?? null;
  const by = holder === null ? 'nobody holds it' : `${describeHolder(holder)} holds it`;
  const now = vm.lease?.generation ?? vm.generation;
  if (sameHolder(holder, DEAD_MAN)) {
    throw refusal(vm, 'its deadline passed, and the host’s dead-man brings it back', { holder });
  }
  if (now !== generation) {
    const why = `it has generation ${String(now)} now, not ${String(generation)}; it is ${phaseOf(vm)}, ${by}`;
    throw refusal(vm, why, { holder, generation: now });
  }
  if (holder !== null && !sameHolder(holder, run)) {
    throw refusal(vm, `${by}, not ${describeHolder(run)}`, { holder });
  }
  if (vm.nextLease !== null) {
    const why = `its restore is prepared already, by ${describeHolder(vm.nextLease.holder)}`;
    throw refusal(vm, why, { holder: vm.nextLease.holder });
  }
  if (vm.deadlineMs !== null && vm.deadlineMs <= nowMs) {
    throw refusal(vm, 'its deadline has passed, so the host’s dead-man brings it back');
  }
}

/**
 * A servicing run counts on all VMs of its host: only one that is known to be closed lets go of this VM, and then its update
 * is not waited for any more. Answers that run, if there is one.
 */
function leaveServicing(o: Objects, { takeOverFrom }: BeginRequest): Holder | null {
  const { host, vm } = o;
  const holder = host.lease?.holder ?? memberOf(o)?.holder ?? null;
  if (holder === null) return null;
  if (!sameHolder(holder, takeOverFrom)) {
    const why = `${describeHolder(holder)} services host ${host.hostId}, and counts on its VMs`;
    throw new HoldfastError('HostBusy', `${vm.vmId} is not taken over: ${why}.`, { holder });
  }
  stopServicing(host, 'its run was closed');
  const { servicing } = host;
  if (servicing !== null) servicing.members = servicing.members.filter((id) => id !== vm.vmId);
  return holder;
}

/** A record that is there has the last word on the mode. */
function settingsOf(
  vm: VmState,
  { settings }: BeginRequest,
  kind: 'save' | 'restore',
): OperationSettings {
  return kind === 'save' ? settings : { ...settings, mode: vm.record?.mode ?? settings.mode };
}

function stepIn(flow: readonly VmStep[], at: VmStep, vm: VmState): number {
  const index = flow.indexOf(at);
  if (index === -1) {
    throw refusal(vm, `${at} is no step of what it would go on with (${flow.join(', ')})`);
  }
  return index;
}

function refuseUnsavable(
  o: Objects,
  at: VmStep,
  { mode, holdMode, blackoutBudgetMs }: OperationSettings,
  before: readonly VmStep[],
): void {
  const { vm, host } = o;
  const crossed = vm.pointOfNoReturn !== null;
  const running = vm.partition.state === 'running';
  // Past the mark it only goes forward, as a restore does, which a quarantine allows.
  if (!crossed) refuseQuarantined(host);
  if (vm.record?.state === 'claimed' || (running && vm.record?.state === 'consumed')) {
    throw refusal(vm, 'its restore has begun, so its save is over');
  }
  if (crossed && at !== 'crossPointOfNoReturn' && !before.includes('crossPointOfNoReturn')) {
    throw refusal(
      vm,
      `it has crossed the point of no return, and ${at} lies before it: from there only forward`,
    );
  }
  if (running) refuseUnready(vm);
  const begun = !running || vm.adapters.some(({ vdev }) => vdev.optimizations !== 'enabled');
  const had = vm.record?.mode ?? vm.lease?.settings.mode ?? mode;
  if (begun && had !== mode) {
    throw refusal(vm, `its save has begun as ${had}; mode cannot become ${mode} any more`);
  }
  const hold = vm.adapters.find(({ vpci }) => vpci.hold !== null)?.vpci.hold ?? null;
  if (hold !== null && hold !== holdMode) {
    throw refusal(
      vm,
      `its hold is set already, as ${hold}; holdMode cannot become ${holdMode} any more`,
    );
  }
  if (!crossed && darkForMs(vm, o.nowMs) >= blackoutBudgetMs) {
    throw refusal(
      vm,
      `it has been dark for ${darkForMs(vm, o.nowMs).toFixed(0)} ms, and blackoutBudget is ${String(blackoutBudgetMs)} ms`,
    );
  }
}

function refuseUnrestorable(o: Objects, at: VmStep, before: readonly VmStep[]): void {
  const { vm } = o;
  if (vm.partition.state === 'running') {
    const isHeld = vm.lease !== null && vm.record?.state === 'consumed';
    if (!isHeld) throw refusal(vm, 'it runs, and nothing of its restore is left to be done');
    if (at !== 'resumeVm' && !before.includes('resumeVm')) {
      throw refusal(vm, `it runs already: ${at} lies before its resumption`);
    }
  } else if (vm.pointOfNoReturn === null) {
    throw refusal(
      vm,
      'its save has not crossed the point of no return: fork the save, or let fastRestore undo it',
    );
  }
}

/** What is known under the older generation becomes the new one's, so that its blocks and its claim stay good. */
function rekeyRecord(vm: VmState, from: number, to: number): void {
  const { record } = vm;
  if (record === null || record.generation > from) return;
  vm.record = {
    ...record,
    generation: record.state === 'writing' || record.state === 'committed' ? to : record.generation,
    claimedBy: record.claimedBy === null ? null : to,
  };
}

/**
 * Before the mark the budget counts from the pause, whoever paused the VM: its owner was promised no more. After it, a
 * restore is given a whole budget, as every restore is.
 */
function deadlineMs({ vm, nowMs }: Objects, { blackoutBudgetMs }: OperationSettings) {
  const { pausedAtMs } = vm.partition;
  if (pausedAtMs === null) return vm.deadlineMs;
  return (vm.pointOfNoReturn === null ? pausedAtMs : nowMs) + blackoutBudgetMs;
}

/** Steps whose effects later steps use up; what proves them instead is durable too. */
function isProven({ vm }: Objects, step: VmStep): boolean {
  const { record } = vm;
  // Crossing takes a committed record with every block, and resuming takes all that was restored.
  if (vm.pointOfNoReturn !== null && TO_THE_MARK.has(step)) return true;
  return record?.state === 'consumed' && TO_RESUMPTION.has(step);
}
const upTo = (flow: readonly VmStep[], step: VmStep) => flow.slice(0, flow.indexOf(step) + 1);
const MODES = ['modified', 'conventional'] as const;
const TO_THE_MARK: ReadonlySet<VmStep> = new Set(
  MODES.flatMap((mode) => upTo(saveFlow({ mode }), 'crossPointOfNoReturn')),
);
const TO_RESUMPTION: ReadonlySet<VmStep> = new Set(
  MODES.flatMap((mode) =>
    (['step-by-step', 'one-step'] as const).flatMap((virtualFunctionRestore) =>
      upTo(restoreFlow({ mode, virtualFunctionRestore }), 'resumeVm'),
    ),
  ),
);

/** A step that is not performed again, with what it would have answered; refused unless its effect is there. */
function observed(o: Objects, step: VmStep, at: VmStep, phase: VmPhase): AdoptedStep {
  const operation: StepOperation = OPERATIONS[step];
  const generation = o.vm.lease?.generation ?? 0;
  const evidence = operation.observed?.(o) ?? {};
  // Waits are for the other VMs of a servicing run, and there is none.
  const isWait = VM_STEPS[step] === 'waits' && step !== 'crossPointOfNoReturn';
  if (isWait || isProven(o, step)) return { step, evidence };
  const isDone =
    operation.inPlace(o, generation) || operation.notApplicable?.(o, generation) !== undefined;
  if (isDone) return { step, evidence };
  throw refusal(
    o.vm,
    `it is ${phase}, and the effect of ${step}, which comes before ${at}, is not in place: go on at ${step} at the latest`,
    { phase, missing: step },
  );
}
