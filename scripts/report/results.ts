import * as z from 'zod';
import { durationMs } from '../../contract/durations';
import { MODES } from '../../contract/inputs';
import { PATHS } from '../../contract/results';

/**
 * What a report reads of results, inputs and answers. They were recorded by any version, so what is not as expected is
 * taken as not known, never as a reason to fail.
 */
const identity = z.object({ vfId: z.number(), luid: z.string() }).nullable().catch(null);

const vmFacts = z.object({
  running: z.boolean(),
  path: z.enum(PATHS),
  pathReason: z.string().nullable().catch(null),
  identityBefore: identity,
  identityAfter: identity,
  blackoutMs: z.number(),
  vfOutageMs: z.number(),
  withinBudget: z.boolean().nullable().catch(null),
  stackVersion: z.string().nullable().catch(null),
});
export type Facts = z.infer<typeof vmFacts>;

const servicedVm = z.object({ vmId: z.string(), mode: z.enum(MODES), facts: vmFacts });
const hostResult = z.object({
  outcome: z.string(),
  reason: z.string().nullable().catch(null),
  component: z.string(),
  versionBefore: z.string(),
  versionAfter: z.string(),
  vms: z.array(servicedVm),
  forbiddenCommands: z.number(),
  invariants: z.object({ checked: z.number(), violated: z.number() }),
});
export type HostResult = z.infer<typeof hostResult>;

const restoreResult = z.object({ mode: z.enum(MODES), vm: vmFacts });
export type RestoreResult = z.infer<typeof restoreResult>;

const fleetHost = z.object({
  hostId: z.string(),
  wave: z.number(),
  outcome: z.string(),
  reason: z.string().nullable().catch(null),
  versionBefore: z.string().nullable().catch(null),
  versionAfter: z.string().nullable().catch(null),
  longestBlackoutMs: z.number().nullable().catch(null),
  vms: z.number(),
  vmsKept: z.number(),
});
export type RecordedFleetHost = z.infer<typeof fleetHost>;

const refusedHost = z.object({ hostId: z.string(), why: z.string(), reason: z.string() });
const fleetResult = z.object({
  outcome: z.string(),
  reason: z.string().nullable().catch(null),
  counts: z.record(z.string(), z.number()),
  hosts: z.array(fleetHost),
  refused: z.array(refusedHost),
  decisions: z.array(
    z.object({
      gate: z.string(),
      wave: z.number(),
      at: z.string(),
      verdict: z.string(),
      looks: z.number(),
    }),
  ),
  interventions: z.array(
    z.object({
      action: z.string(),
      at: z.string(),
      by: z.string(),
      reason: z.string(),
      answer: z.string(),
    }),
  ),
  undelivered: z.array(z.string()),
});
export type RecordedFleet = z.infer<typeof fleetResult>;

const fleetPlan = z.object({
  outcome: z.literal('planned'),
  waves: z.array(
    z.object({
      number: z.number(),
      hosts: z.array(
        z.object({ hostId: z.string(), reason: z.string(), vms: z.array(z.unknown()) }),
      ),
    }),
  ),
  refused: z.array(refusedHost),
});
export type RecordedPlan = z.infer<typeof fleetPlan>;

/** A duration as inputs have it, in ms. */
const inMs = z.string().transform((text, context) => {
  const ms = durationMs(text);
  if (ms !== undefined) return ms;
  context.addIssue('is no duration');
  return z.NEVER;
});
const allowance = z.object({
  atMost: inMs,
  per: z.string().refine((s) => durationMs(s) !== undefined),
});
export type Allowance = z.infer<typeof allowance>;

/** The fields of any of our inputs that a report shows; each is null where the input does not say it. */
const input = z.object({
  hostId: z.string().nullable().catch(null),
  vmId: z.string().nullable().catch(null),
  mode: z.enum(MODES).nullable().catch(null),
  blackoutBudget: inMs.nullable().catch(null),
  blackoutAllowance: allowance.nullable().catch(null),
  update: z
    .object({ component: z.string().catch('vmWorkerProcess'), version: z.string() })
    .nullable()
    .catch(null),
  faults: z
    .array(
      z.object({ vmId: z.string().nullable().catch(null), step: z.string(), kind: z.string() }),
    )
    .catch([]),
});
export type Input = z.infer<typeof input>;
export type InjectedFault = Input['faults'][number];

const leaseSettings = z.object({
  settings: z.object({ mode: z.enum(MODES), blackoutBudgetMs: z.number() }),
});

const hostDescription = z.object({
  describedAtMs: z.number(),
  vms: z.array(
    z.object({
      vmId: z.string(),
      blackouts: z.array(z.object({ endedAtMs: z.number(), ms: z.number() })),
    }),
  ),
});
export type Description = z.infer<typeof hostDescription>;

const reader =
  <Schema extends z.ZodType>(schema: Schema) =>
  (value: unknown): z.output<Schema> | null =>
    schema.safeParse(value).data ?? null;

export const asHostResult = reader(hostResult);
export const asRestoreResult = reader(restoreResult);
export const asFleetResult = reader(fleetResult);
export const asFleetPlan = reader(fleetPlan);
export const asLease = reader(leaseSettings);
export const asDescription = reader(hostDescription);
const NOTHING: Input = input.parse({});
export const asInput = (value: unknown): Input => input.safeParse(value).data ?? NOTHING;
