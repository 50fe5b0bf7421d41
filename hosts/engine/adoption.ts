import { HoldfastError } from '../../contract/failures';
import { restoreFlow, saveFlow, waitsForOthers } from '../../contract/flows';
import type {
  AdoptedStep,
  Adoption,
  BeginRequest,
  Operation,
  OperationSettings,
  VmPhase,
} from '../../contract/host';
import { DEAD_MAN, type Holder } from '../../contract/ids';
import type { VmStep } from '../../contract/steps';
import { memberOf } from './gates';
import {
  emptyMailboxes,
  endStranding,
  issueLease,
  noteBefore,
  operationOf,
  refuseQuarantined,
  stopServicing,
} from './leases';
import type { VmOperations } from './operations';
import { darkForMs, describeHolder, phaseOf, sameHolder } from './phase';
import type { Port } from './port';
import type { CoreImage, CoreObjects, Lease } from './state';

/**
 * A new run goes on where an older one stopped, with what that one has done: record, hold, worker process, successor. The
 * new generation fences the older run. Nothing is believed: each step before the chosen one must have its effect in place.
 */
export function adopt<O extends CoreObjects>(
  { port, operations }: { readonly port: Port<O>; readonly operations: VmOperations<O> },
  o: O,
  request: BeginRequest,
  adoption: Adoption,
  kind: 'save' | 'restore',
): Operation {
  const { vm } = o;
  const image = port.image(vm);
  const found = phaseOf(vm, image);
  const refusal: Refusal = (why, facts = {}) =>
    new HoldfastError('AdoptRefused', `${vm.vmId} is not taken over: ${why}.`, {
      phase: found,
      ...facts,
    });
  refuseUnlessLeft(o, adoption, found, refusal);
  port.refuseElsewhere?.(vm);
  const parent = leaveServicing(o, request);
  const settings = settingsOf(image, request, kind);
  const flow = kind === 'save' ? saveFlow(settings) : restoreFlow(settings);
  const before = flow.slice(0, stepIn(flow, adoption.at, refusal));
  if (kind === 'save') refuseUnsavable(port, o, adoption.at, settings, before, refusal);
  else refuseUnrestorable(o, image, adoption.at, before, refusal);

  // As a save of its own would begin: of an older one that was undone, or never touched the VM, there is nothing to keep.
  if (kind === 'save' && vm.lease === null && found === 'running') noteBefore(port, o);
  const lease: Lease = { ...issueLease(o, { ...request, parent }, kind), settings };
  emptyMailboxes(port, o);
  vm.lease = lease;
  endStranding(vm);
  port.adoptRecord?.(vm, adoption.generation, lease.generation);
  vm.deadlineMs = deadlineMs(o, image, settings);
  const adopted = before.map((step) => {
    const evidence = evidenceOf(o, port.image(vm), step, operations[step]);
    if (evidence !== null) return { step, evidence } satisfies AdoptedStep;
    throw refusal(
      `it is ${found}, and the effect of ${step}, which comes before ${adoption.at}, is not in place: go on at ${step} at the latest`,
      { missing: step },
    );
  });
  vm.lease = { ...lease, adopted };
  return operationOf(port, o, vm.lease);
}

type Refusal = (why: string, facts?: Readonly<Record<string, unknown>>) => HoldfastError;

/** Whoever has had the VM since then has moved on: the older run's view of it is out of date. */
function refuseUnlessLeft(
  { vm, nowMs }: CoreObjects,
  { generation, ...run }: Adoption,
  phase: VmPhase,
  refusal: Refusal,
): void {
  const holder = vm.lease?.holder ?? null;
  const by = holder === null ? 'nobody holds it' : `${describeHolder(holder)} holds it`;
  const now = vm.lease?.generation ?? vm.generation;
  if (sameHolder(holder, DEAD_MAN)) {
    throw refusal('its deadline passed, and the host’s dead-man brings it back', { holder });
  }
  if (now !== generation) {
    const why = `it has generation ${String(now)} now, not ${String(generation)}; it is ${phase}, ${by}`;
    throw refusal(why, { holder, generation: now });
  }
  if (holder !== null && !sameHolder(holder, run)) {
    throw refusal(`${by}, not ${describeHolder(run)}`, { holder });
  }
  if (vm.nextLease !== null) {
    const why = `its restore is prepared already, by ${describeHolder(vm.nextLease.holder)}`;
    throw refusal(why, { holder: vm.nextLease.holder });
  }
  if (vm.deadlineMs !== null && vm.deadlineMs <= nowMs) {
    throw refusal('its deadline has passed, so the host’s dead-man brings it back');
  }
}

/**
 * A servicing run counts on all VMs of its host: only one that is known to be closed lets go of this VM, and then its update
 * is not waited for any more. Answers that run, if there is one.
 */
function leaveServicing(o: CoreObjects, { takeOverFrom }: BeginRequest): Holder | null {
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
  { record }: CoreImage,
  { settings }: BeginRequest,
  kind: 'save' | 'restore',
): OperationSettings {
  return kind === 'save' ? settings : { ...settings, mode: record?.mode ?? settings.mode };
}

function stepIn(flow: readonly VmStep[], at: VmStep, refusal: Refusal): number {
  const index = flow.indexOf(at);
  if (index !== -1) return index;
  throw refusal(`${at} is no step of what it would go on with (${flow.join(', ')})`);
}

function refuseUnsavable<O extends CoreObjects>(
  port: Port<O>,
  { vm, host, nowMs }: O,
  at: VmStep,
  { mode, holdMode, blackoutBudgetMs }: OperationSettings,
  before: readonly VmStep[],
  refusal: Refusal,
): void {
  const image = port.image(vm);
  const { running, record, hold } = image;
  const crossed = vm.pointOfNoReturn !== null;
  // Past the mark it only goes forward, as a restore does, which a quarantine allows.
  if (!crossed) refuseQuarantined(host);
  if (record?.state === 'claimed' || (running && record?.state === 'consumed')) {
    throw refusal('its restore has begun, so its save is over');
  }
  if (crossed && at !== 'crossPointOfNoReturn' && !before.includes('crossPointOfNoReturn')) {
    throw refusal(
      `it has crossed the point of no return, and ${at} lies before it: from there only forward`,
    );
  }
  if (running) port.refuseUnready?.(vm);
  const begun = !running || !image.untouched;
  const had = record?.mode ?? vm.lease?.settings.mode ?? mode;
  if (begun && had !== mode) {
    throw refusal(`its save has begun as ${had}; mode cannot become ${mode} any more`);
  }
  if (hold !== null && hold !== holdMode) {
    throw refusal(
      `its hold is set already, as ${hold}; holdMode cannot become ${holdMode} any more`,
    );
  }
  const dark = darkForMs(image, nowMs);
  if (!crossed && dark >= blackoutBudgetMs) {
    throw refusal(
      `it has been dark for ${dark.toFixed(0)} ms, and blackoutBudget is ${String(blackoutBudgetMs)} ms`,
    );
  }
}

function refuseUnrestorable(
  { vm }: CoreObjects,
  { running, record }: CoreImage,
  at: VmStep,
  before: readonly VmStep[],
  refusal: Refusal,
): void {
  if (running) {
    const isHeld = vm.lease !== null && record?.state === 'consumed';
    if (!isHeld) throw refusal('it runs, and nothing of its restore is left to be done');
    if (at !== 'resumeVm' && !before.includes('resumeVm')) {
      throw refusal(`it runs already: ${at} lies before its resumption`);
    }
  } else if (vm.pointOfNoReturn === null) {
    throw refusal(
      'its save has not crossed the point of no return: fork the save, or let fastRestore undo it',
    );
  }
}

/**
 * Before the mark the budget counts from the pause, whoever paused the VM: its owner was promised no more. After it, a
 * restore is given a whole budget, as every restore is.
 */
function deadlineMs(
  { vm, nowMs }: CoreObjects,
  { pausedAtMs }: CoreImage,
  { blackoutBudgetMs }: OperationSettings,
): number | null {
  if (pausedAtMs === null) return vm.deadlineMs;
  return (vm.pointOfNoReturn === null ? pausedAtMs : nowMs) + blackoutBudgetMs;
}

/** Steps whose effects later steps use up; what proves them instead is durable too. */
function isProven({ vm }: CoreObjects, { record }: CoreImage, step: VmStep): boolean {
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

/** What a step that is not performed again would have answered; null unless its effect is there. */
function evidenceOf<O extends CoreObjects>(
  o: O,
  image: CoreImage,
  step: VmStep,
  operation: VmOperations<O>[VmStep],
): AdoptedStep['evidence'] | null {
  if ('notSupported' in operation) return null;
  const generation = o.vm.lease?.generation ?? 0;
  const isDone =
    // The VM is part of no servicing run, so there are no others.
    waitsForOthers(step) ||
    isProven(o, image, step) ||
    operation.inPlace?.(o, generation) === true ||
    operation.notApplicable?.(o, generation) !== undefined;
  return isDone ? (operation.observed?.(o) ?? {}) : null;
}
