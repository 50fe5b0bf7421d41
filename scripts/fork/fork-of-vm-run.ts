import { durationMs } from '../../contract/durations';
import { RESTORE_FLOW_STEPS, SAVE_FLOW_STEPS, restoreFlow, saveFlow } from '../../contract/flows';
import {
  MODES,
  VIRTUAL_FUNCTION_RESTORES,
  fastRestoreInput,
  fastSaveInput,
} from '../../contract/inputs';
import { VM_STEPS, type VmStep } from '../../contract/steps';
import { z } from '../../contract/zod';
import { isNotReached } from '../replay/steps';
import { changed, type Changes } from './changes';
import { CannotFork } from './ended';
import type { GrantedLease, OldRun } from './old-run';
import type { Plan } from './plan';

type Settings = GrantedLease['settings'];

/** The two workflows that hold a VM: what they take, and the steps that they go through. */
const VM_RUNS = {
  fastSave: { schema: fastSaveInput, steps: SAVE_FLOW_STEPS, flow: saveFlow },
  fastRestore: { schema: fastRestoreInput, steps: RESTORE_FLOW_STEPS, flow: restoreFlow },
} as const satisfies Record<
  string,
  {
    schema: z.ZodMiniType;
    steps: readonly VmStep[];
    flow: (settings: Settings) => readonly VmStep[];
  }
>;
export type VmRunType = keyof typeof VM_RUNS;
export const isVmRun = (type: string): type is VmRunType => Object.hasOwn(VM_RUNS, type);

/** The input of the new run; refuses what the older run's history rules out. The host checks the rest. */
export function forkOfVmRun(old: OldRun, type: VmRunType, at: string, changes: Changes): Plan {
  const { lease } = old;
  if (lease === null) {
    throw new CannotFork(
      `${named(old)} never held its VM (${old.account.outcome}), so there is nothing to go on with. Start a new ${type}.`,
    );
  }
  const { schema, steps, flow } = VM_RUNS[type];
  const oldFlow = flow(lease.settings);
  const reached = reachedSteps(oldFlow, old, lease);
  const step = steps.find((known) => known === at);
  if (step === undefined) {
    throw new CannotFork(`"${at}" is no step that a ${type} goes through. ${choice(old, reached)}`);
  }
  const base = withLeaseSettings(type, old.account.input, lease.settings);
  const { workflowId, runId } = old;
  const adopt = { workflowId, runId, generation: lease.generation, at: step };
  const input = { ...changed(type, schema, base, changes), adopt };
  refuseUnreached(old, step, reached, oldFlow, flow(settingsOf(schema, input, lease.settings)));
  return { type, input, at: step };
}

const named = ({ workflowId, runId }: OldRun) => `${workflowId} (run ${runId})`;

/**
 * As far as the history tells: every step up to the last one that was begun, and the one after it if it was done. Of steps
 * that were issued together and not answered only the host knows how far they came: there all of them count.
 */
function reachedSteps(
  flow: readonly VmStep[],
  { account }: OldRun,
  { adopted }: GrantedLease,
): readonly VmStep[] {
  const taken = account.steps.filter(
    (each) => !isNotReached(each) && flow.some((step) => step === each.name),
  );
  const last = taken.reduce<{ index: number; isDone: boolean }>(
    (so, { name, status }) => {
      const index = flow.findIndex((step) => step === name);
      return index >= so.index ? { index, isDone: IS_DONE.has(status) } : so;
    },
    { index: adopted.length - 1, isDone: true },
  );
  return flow.slice(0, last.index + (last.isDone ? 2 : 1));
}
const IS_DONE: ReadonlySet<string> = new Set(['done', 'alreadyDone', 'notApplicable']);

function choice({ account }: OldRun, reached: readonly VmStep[]): string {
  const took = account.steps
    .filter((step) => !isNotReached(step) && Object.hasOwn(VM_STEPS, step.name))
    .map(({ name }) => name);
  return `The run took: ${took.join(', ') || 'no step'}. It can be forked at: ${reached.join(', ')}.`;
}

function refuseUnreached(
  old: OldRun,
  at: VmStep,
  reached: readonly VmStep[],
  oldFlow: readonly VmStep[],
  newFlow: readonly VmStep[],
): void {
  const index = newFlow.indexOf(at);
  if (index === -1) {
    throw new CannotFork(
      `With these options there is no step ${at}: it would go through ${newFlow.join(', ')}.`,
    );
  }
  // A step that only the new options bring is as far as the one before it.
  const before = newFlow[index - 1];
  const isReached = oldFlow.includes(at)
    ? reached.includes(at)
    : before === undefined || reached.slice(0, -1).includes(before);
  if (isReached) return;
  throw new CannotFork(`${named(old)} never came to ${at}. ${choice(old, reached)}`);
}

/**
 * The run's own input, and where the host gave it other settings, as it does inside a servicing run, those: they are what it
 * ran with. Its faults stay as they were written.
 */
function withLeaseSettings(
  type: VmRunType,
  input: unknown,
  settings: Settings,
): Readonly<Record<string, unknown>> {
  const written = z.safeParse(VM_RUNS[type].schema, input);
  if (!written.success || typeof input !== 'object' || input === null) {
    throw new CannotFork(
      `The input of the old run cannot be read: ${input === undefined ? 'it is encrypted' : JSON.stringify(input)}.`,
    );
  }
  const { adopt: _adopt, ...kept } = { adopt: undefined, ...input };
  const had = Object.entries({
    ...(type === 'fastSave'
      ? {
          mode: settings.mode,
          holdMode: settings.holdMode,
          maxSavedFor: `${String(settings.maxSavedForMs)}ms`,
        }
      : { virtualFunctionRestore: settings.virtualFunctionRestore }),
    blackoutBudget: `${String(settings.blackoutBudgetMs)}ms`,
  });
  const differing = had.filter(
    ([field, value]) =>
      !isSame(Object.entries(written.data).find(([f]) => f === field)?.[1], value),
  );
  return { ...kept, ...Object.fromEntries(differing) };
}

const isSame = (written: unknown, had: string): boolean =>
  written === had ||
  (typeof written === 'string' &&
    durationMs(written) !== undefined &&
    durationMs(written) === durationMs(had));

/** The mode and the way of restoring the VF that the new run goes by. */
function settingsOf(schema: z.ZodMiniType, input: unknown, had: Settings): Settings {
  const { mode = had.mode, virtualFunctionRestore = had.virtualFunctionRestore } = z.parse(
    ways,
    z.parse(schema, input),
  );
  return { ...had, mode, virtualFunctionRestore };
}
const ways = z.object({
  mode: z.optional(z.enum(MODES)),
  virtualFunctionRestore: z.optional(z.enum(VIRTUAL_FUNCTION_RESTORES)),
});
