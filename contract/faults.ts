import { z } from './zod';
import { RESTORE_FLOW_STEPS, SAVE_FLOW_STEPS } from './flows';
import { HOST_STEPS, HOST_STEP_NAMES, VM_STEPS, VM_STEP_NAMES } from './steps';
import { duration } from './durations';
import { vmId } from './ids';

/**
 * Faults are data: the simulator meets them when it performs `step`; any other driver refuses a run that names some.
 *
 * - `fail-before`: fails before the effect; nothing changed.
 * - `fail-after`: the effect happens, the reply is lost: the outcome must be observed.
 * - `slow`: takes `delay` longer. `stuck`: never answers.
 * - `vf-gone`: the VF is taken away (port removal, NIC reset) just before the step.
 * - `guest-hangs`: after the step the guest answers no heartbeat any more, although its VM runs; for `resumeVm`.
 * - `stuck-command`: a command on the passthrough path does not complete until the migration is undone; for
 *   `drainPassthrough`.
 * - `successor-dies`: the worker process that is to take the VM over ends just before the step.
 * - `fails-to-start`, `starts-old-version`, `fails-verification`, `cannot-read-record`: what a bad update does once it is
 *   started; for `stageUpdate`, which brings it.
 */
export const FAULT_KINDS = [
  'fail-before',
  'fail-after',
  'slow',
  'stuck',
  'vf-gone',
  'guest-hangs',
  'stuck-command',
  'successor-dies',
  'fails-to-start',
  'starts-old-version',
  'fails-verification',
  'cannot-read-record',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

const STEPS = [...VM_STEP_NAMES, ...HOST_STEP_NAMES];

/** Kinds that mean something at some steps only. */
const ONLY_AT: Partial<Record<FaultKind, readonly (typeof STEPS)[number][]>> = {
  'guest-hangs': ['resumeVm'],
  'stuck-command': ['drainPassthrough'],
  'successor-dies': [
    'reserveResources',
    ...SAVE_FLOW_STEPS.slice(
      SAVE_FLOW_STEPS.indexOf('pauseVm'),
      SAVE_FLOW_STEPS.indexOf('tearDownSyntheticAdapter') + 1,
    ),
    ...RESTORE_FLOW_STEPS.filter((step) => VM_STEPS[step].kind === 'dark'),
  ],
  'fails-to-start': ['stageUpdate'],
  'starts-old-version': ['stageUpdate'],
  'fails-verification': ['stageUpdate'],
  'cannot-read-record': ['stageUpdate'],
};

const isHostStep = (step: (typeof STEPS)[number]) => step in HOST_STEPS;

export const fault = z
  .strictObject({
    /** Absent for a step of the whole host. */
    vmId: z.optional(vmId),
    step: z.enum(STEPS),
    kind: z.enum(FAULT_KINDS),
    /** How many attempts meet it, 1–1000; default 1. */
    times: z._default(z.int().check(z.minimum(1), z.maximum(1000)), 1),
    /** For `slow`; default 2 s. */
    delay: z._default(duration({ min: '1ms', max: '10m' }), '2s'),
  })
  .check(
    // Nothing would ever meet such a fault, and the run would look as if it had withstood it.
    // A guest may be deaf to a notice, which is a step of the host.
    z.refine((f) => !(isHostStep(f.step) && f.step !== 'noticeGuests' && f.vmId !== undefined), {
      error: ({ input }) =>
        `${(input as { step: string }).step} is a step of the whole host: leave vmId out`,
      path: ['vmId'],
    }),
    z.refine((f) => !(isHostStep(f.step) && f.kind === 'vf-gone'), {
      error: 'only a step of a VM can lose its VF',
      path: ['kind'],
    }),
    z.refine((f) => ONLY_AT[f.kind]?.includes(f.step) !== false, {
      error: ({ input }) => {
        const { kind } = input as { kind: FaultKind };
        return `${kind} can only be met at ${ONLY_AT[kind]?.join(', ') ?? ''}`;
      },
      path: ['kind'],
    }),
  );
export type FaultInput = z.input<typeof fault>;
export type Fault = z.output<typeof fault>;

/** Reads `<vmId>:<step>:<kind>[:<times>]`, as the scripts take it; `host` as vmId means a step of the host itself. */
export function parseFault(text: string): FaultInput {
  const [vm, step, kind, times, ...rest] = text.split(':');
  if (vm === undefined || step === undefined || kind === undefined || rest.length > 0) {
    throw new TypeError(`a fault is written <vmId>:<step>:<kind>[:<times>], not "${text}"`);
  }
  const parsed = z.safeParse(fault, {
    ...(vm === 'host' ? {} : { vmId: vm }),
    step,
    kind,
    ...(times === undefined ? {} : { times: Number(times) }),
  });
  if (!parsed.success) {
    throw new TypeError(
      `fault "${text}": ${parsed.error.issues.map((i) => `${i.path.join('.')}: ${i.message}`).join('; ')}`,
    );
  }
  if (vm === 'host' && !isHostStep(parsed.data.step)) {
    throw new TypeError(
      `fault "${text}": ${step} is a step of a VM: write its name instead of "host"`,
    );
  }
  return {
    ...(vm === 'host' ? {} : { vmId: vm }),
    step: parsed.data.step,
    kind: parsed.data.kind,
    times: parsed.data.times,
  };
}
