import { VM_PHASES, type VmPhase } from '../../contract/host';
import { VM_STEPS, type VmChange, type VmStep } from '../../contract/steps';
import { timedSteps, type TimedStep } from './step-times';
import { isNotReached, type Step } from './steps';
import { field, numberOf, textOf } from './values';

/** A VM at one moment, as the steps tell it. */
export interface VmState {
  readonly phase: VmPhase;
  /** What carries its packets: `none` while it is dark. */
  readonly path: 'vf' | 'synthetic' | 'none';
  readonly vf: NonNullable<VmChange['vf']>;
  /** How long it had been dark, ms; 0 while it runs. */
  readonly darkForMs: number;
}

/** A step and what the VM is after it. */
export interface VmMoment extends TimedStep {
  readonly after: VmState;
}

interface Walked extends Omit<VmState, 'path'> {
  /** What carries its packets when it runs. */
  readonly guestPath: 'vf' | 'synthetic';
}

const WITHOUT_VF: VmChange = { vf: 'none', guestPath: 'synthetic' };
const AT_THE_VF = new Set<string>([
  'createVpciBus',
  'retrieveAndRestoreVirtualFunction',
] satisfies VmStep[]);

const RUNS_WITH_ITS_VF: Walked = {
  phase: 'running',
  guestPath: 'vf',
  vf: 'assigned',
  darkForMs: 0,
};

/**
 * Walks the steps of the runs of one VM, in the order in which they ended, and tells what the VM is after each. Before the
 * first it is taken to run with its VF, unless the host's first answer says otherwise.
 */
export function vmMoments(runs: readonly { readonly steps: readonly Step[] }[]): VmMoment[] {
  let at = RUNS_WITH_ITS_VF;
  return timedSteps(runs)
    .filter(({ step }) => !isNotReached(step))
    .sort((a, b) => (a.endedMs ?? Infinity) - (b.endedMs ?? Infinity))
    .map((timed) => {
      at = { ...at, ...answered(timed.step, at) };
      const { guestPath, ...state } = at;
      return { ...timed, after: { ...state, path: at.darkForMs === 0 ? guestPath : 'none' } };
    });
}

/** What a step's answer changes: the host's own description where it is one, or else the effect of a step that was done. */
function answered(step: Step, before: Walked): Partial<Walked> {
  switch (step.name) {
    case 'describeVm':
      return described(step.answer, before);
    case 'verifyRestore':
      return described(field(field(step.answer, 'evidence'), 'vm'), before);
    case 'beginSave':
    case 'beginRestore':
    case 'fenceOperation':
    case 'withdrawUnlessCrossed':
      return leased(step, before);
    default:
      return performed(step, before);
  }
}

function performed(step: Step, before: Walked): Partial<Walked> {
  const dark = step.darkForMs === null ? {} : { darkForMs: step.darkForMs };
  const isDark = (step.darkForMs ?? 0) > 0;
  if (step.name === 'awaitUpdate' && step.reason === 'saveUndone' && isDark)
    return { ...dark, phase: 'recovering' };
  // The record holds no VF: it was gone when the VM was saved.
  if (AT_THE_VF.has(step.name) && step.status === 'notApplicable' && before.phase === 'restoring')
    return { ...dark, ...WITHOUT_VF };
  if (step.status !== 'done' && step.status !== 'alreadyDone') return dark;
  // Another run has brought the VM down, or back, while this one waited.
  if (step.name === 'awaitUpdate' && isDark)
    return { ...dark, phase: 'saved', vf: before.vf === 'assigned' ? 'held' : before.vf };
  if (step.name === 'awaitResume' && step.darkForMs === 0)
    return { ...dark, phase: 'preparing', vf: before.vf === 'held' ? 'assigned' : before.vf };
  if (textOf(field(field(step.answer, 'evidence'), 'withoutVfRecord')) !== null)
    return { ...dark, ...WITHOUT_VF };
  // Nothing is held any more once the save is taken back; and on the way to a VF anew it is assigned as at first.
  if (step.name === 'discardSavedState' && before.vf === 'held') return { ...dark, vf: 'assigned' };
  if (step.name === 'assignVirtualFunction' && before.vf === 'allocated')
    return { ...dark, vf: 'assigned' };
  return { ...dark, ...effectOf(step.name) };
}

const effectOf = (name: string): VmChange => (isVmStep(name) ? VM_STEPS[name].changes : {});
const isVmStep = (name: string): name is VmStep => Object.hasOwn(VM_STEPS, name);

/** An operation, as the host answers a run that takes or fences it. */
function leased({ name, answer }: Step, before: Walked): Partial<Walked> {
  const phase = phaseIn(answer);
  const darkForMs = numberOf(field(answer, 'darkForMs'));
  if (phase === null || darkForMs === null) return {};
  // Of a conventional save its guest has given the VF back before it goes down.
  const conventional =
    name === 'beginRestore' && field(field(answer, 'settings'), 'mode') === 'conventional';
  if (conventional) return { phase, darkForMs, ...WITHOUT_VF };
  const held = name === 'beginRestore' && darkForMs > 0 && before.vf === 'assigned';
  return { phase, darkForMs, ...(held ? { vf: 'held' } : {}) };
}

/** The host's description of the VM; a running one says who carries its packets. */
function described(answer: unknown, before: Walked): Partial<Walked> {
  const phase = phaseIn(answer);
  const path = field(answer, 'dataPath');
  const darkForMs = numberOf(field(answer, 'darkForMs'));
  if (phase === null || darkForMs === null || (path !== 'vf' && path !== 'synthetic')) return {};
  const vf =
    field(answer, 'identity') === null ? 'none' : before.vf === 'none' ? 'assigned' : before.vf;
  return { phase, darkForMs, guestPath: path, vf };
}

const phaseIn = (answer: unknown): VmPhase | null =>
  VM_PHASES.find((phase) => phase === field(answer, 'phase')) ?? null;
