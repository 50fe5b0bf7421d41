import { amount, positiveAmount, type Amount } from './amounts';
import { duration, toMs } from './durations';
import { fault } from './faults';
import { hostId } from './ids';
import { blackoutAllowance, servicingSettings, update, webUrl } from './inputs';
import { availabilityGroup, faultDomain, inventory, labels, repeated } from './inventory';
import { z } from './zod';

/** Which hosts of the inventory: those that meet every condition that is given. */
const selector = z
  .strictObject({
    faultDomains: z.optional(z.array(faultDomain).check(z.minLength(1))),
    availabilityGroups: z.optional(z.array(availabilityGroup).check(z.minLength(1))),
    /** All of these labels with these values. */
    labels: z.optional(labels),
  })
  .check(
    z.refine(
      (s) =>
        s.faultDomains !== undefined ||
        s.availabilityGroups !== undefined ||
        s.labels !== undefined,
      'must name fault domains, availability groups or labels: an empty selector does not mean "all"',
    ),
  );
export type Selector = z.output<typeof selector>;

/** What is decided after a wave, and how long it may take: wait, then look until all is well for some time, or give up. */
const bakeTime = z.strictObject({
  /** Nobody looks before this has passed. Default 0s. */
  settle: z._default(duration({ min: '0s', max: '7d' }), '0s'),
  /** All must be well for this long, without a break. Default 0s: one look. */
  stableFor: z._default(duration({ min: '0s', max: '7d' }), '0s'),
  /** Counted from the first look. Default 10m. */
  giveUpAfter: z._default(duration({ min: '0s', max: '7d' }), '10m'),
  /** How often it is looked. Default 10s. */
  every: z._default(duration({ min: '100ms', max: '1h' }), '10s'),
});
export type BakeTime = z.output<typeof bakeTime>;

const strategy = z.strictObject({
  /** Size of the first wave, in which any failure stops the run; 0 for none. Default 1. */
  canary: z._default(amount, 1),
  /** Sizes of the waves after it; the last one repeats until every host has its place. Default: all that is left. */
  waves: z._default(z.array(positiveAmount).check(z.minLength(1), z.maxLength(100)), ['100%']),
  /** Hosts in flight at a time; a percentage is of all hosts that are planned, rounded down, at least 1. Default 10%. */
  maxConcurrentHosts: z._default(positiveAmount, '10%'),
  /** Begin each wave with one host, then two, four, … after as many successes. Default true. */
  ramp: z._default(z.boolean(), true),
  /** Hosts of one fault domain in flight at a time. Default 1. */
  perFaultDomain: z._default(z.int().check(z.minimum(1), z.maximum(10_000)), 1),
  /** Hosts with a VM of one availability group in flight at a time. Default 1. */
  perAvailabilityGroup: z._default(z.int().check(z.minimum(1), z.maximum(10_000)), 1),
  /** `as-given`: the order of `hosts`, or of the inventory. Default. */
  order: z._default(z.enum(['as-given', 'fewest-vms-first']), 'as-given'),
  bakeTime: z.prefault(bakeTime, {}),
  /** More failures than this stop the run; a percentage is of all hosts that are planned, rounded down. Default 0. */
  failureLimit: z._default(amount, 0),
  /** `pause`: wait for a person (default). `abort`: start no more. `rollBack`: and take the updated hosts back. */
  onFailure: z._default(z.enum(['pause', 'abort', 'rollBack']), 'pause'),
  /** Before which waves a person must approve. Default: none. */
  approval: z._default(z.enum(['none', 'after-canary', 'every-wave']), 'none'),
  /** A host that another run holds: leave it out (default), wait for it, or count it as a failure. */
  onBusy: z._default(z.enum(['skip', 'wait', 'fail']), 'skip'),
});
export type Strategy = z.output<typeof strategy>;

export const HOST_PROBES = [
  'heartbeat',
  'vfDataPath',
  'forbiddenCommands',
  'blackoutBudget',
] as const;
export type HostProbe = (typeof HOST_PROBES)[number];

const httpProbe = z.strictObject({
  url: webUrl,
  /** The answer that means that all is well. Default 200. */
  status: z._default(z.int().check(z.minimum(100), z.maximum(599)), 200),
});
const prometheusProbe = z
  .strictObject({
    /** Of the server, without `/api/v1`. */
    url: webUrl,
    query: z.string().check(z.minLength(1), z.maxLength(2_000)),
    /** Every value that the query answers must lie within these; no value at all is inconclusive. */
    atLeast: z.optional(z.number()),
    atMost: z.optional(z.number()),
  })
  .check(
    z.refine(
      (p) => p.atLeast !== undefined || p.atMost !== undefined,
      'must have atLeast or atMost, else nothing could be unhealthy',
    ),
    z.refine(
      (p) => p.atLeast === undefined || p.atMost === undefined || p.atLeast <= p.atMost,
      'no value is at least atLeast and at most atMost',
    ),
  );

const health = z.strictObject({
  /** Asked of each host. Default: all four. */
  probes: z._default(z.array(z.enum(HOST_PROBES)), [...HOST_PROBES]),
  http: z._default(z.array(httpProbe).check(z.maxLength(10)), []),
  prometheus: z._default(z.array(prometheusProbe).check(z.maxLength(10)), []),
});
export type Health = z.output<typeof health>;

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
const clockTime = z
  .string('must be a time such as "22:30"')
  .check(z.regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'must be a time such as "22:30"'));

/** When hosts may start. What runs when it closes is let finish. */
const maintenanceWindow = z.strictObject({
  /** An IANA name such as "Europe/Berlin". Default UTC. */
  timeZone: z._default(z.string().check(z.minLength(1), z.maxLength(64)), 'UTC'),
  open: z
    .array(
      z
        .strictObject({
          /** The days on which it opens. Default: every day. */
          days: z._default(z.array(z.enum(DAYS)).check(z.minLength(1)), [...DAYS]),
          from: clockTime,
          /** On the next day if it is not later than `from`. */
          to: clockTime,
        })
        .check(
          z.refine((w) => w.from !== w.to, {
            error: 'must differ from "from": such a window is never open',
            path: ['to'],
          }),
        ),
    )
    .check(z.minLength(1), z.maxLength(50)),
  /** A host that would not be done before the window closes is not started. Default 5m. */
  hostTakes: z._default(duration({ min: '0s', max: '24h' }), '5m'),
});
export type MaintenanceWindow = z.output<typeof maintenanceWindow>;

/** How long each VM may be dark in all, and what becomes of a host with a VM that would exceed it. */
const fleetAllowance = z.extend(blackoutAllowance, {
  /** `refuse`: the host is left out (default). `defer`: it comes last, once enough of the period has passed. */
  whenSpent: z._default(z.enum(['refuse', 'defer']), 'refuse'),
});
export type FleetAllowance = z.output<typeof fleetAllowance>;

const hostIds = z.array(hostId).check(
  z.maxLength(10_000),
  z.refine((ids: readonly string[]) => new Set(ids).size === ids.length, {
    error: ({ input }) => `named twice: ${repeated(input as readonly string[]).join(', ')}`,
  }),
);

/** The fields of a run; a fleet file has a name on top. */
export const updateFleetFields = {
  update,
  /** The hosts to update, by name. Either these or a selector. */
  hosts: z.optional(
    hostIds.check(z.minLength(1, 'must name at least one host: an empty list does not mean "all"')),
  ),
  selector: z.optional(selector),
  /** Hosts to leave out of what the selector finds. */
  exclude: z._default(hostIds, []),
  /** More hosts than this are refused, so that no selector takes more than was meant. Default 100, at most 10,000. */
  maxHosts: z._default(z.int().check(z.minimum(1), z.maximum(10_000)), 100),
  /** Where the hosts stand. Default: the inventory of the orchestrator. */
  inventory: z.optional(inventory),
  strategy: z.prefault(strategy, {}),
  health: z.prefault(health, {}),
  /** Default: always open. */
  maintenanceWindow: z.optional(maintenanceWindow),
  blackoutAllowance: z.prefault(fleetAllowance, {}),
  /** How each host is serviced: the settings of `serviceHost`. */
  servicing: z.prefault(z.strictObject(servicingSettings), {}),
  /** Webhooks that hear of start, gates, pauses, failures and the end; signed. */
  notify: z._default(z.array(webUrl).check(z.maxLength(10)), []),
  /** Only the plan, with a verdict for every VM: nothing is touched. */
  dryRun: z._default(z.boolean(), false),
  /** For exercises, by host. */
  faults: z._default(z.record(hostId, z.array(fault).check(z.maxLength(100))), {}),
};

interface Contradictable {
  readonly hosts?: readonly string[] | undefined;
  readonly selector?: Selector | undefined;
  readonly exclude: readonly string[];
  readonly strategy: Strategy;
  readonly maintenanceWindow?: MaintenanceWindow | undefined;
}

/** Settings that are right by themselves but not together. */
const contradictions: readonly {
  readonly path: PropertyKey[];
  readonly error: string;
  readonly holds: (input: Contradictable) => boolean;
}[] = [
  {
    path: ['hosts'],
    error:
      'name hosts or give a selector: without either there is nothing to update, and it does not mean "all"',
    holds: (i) => i.hosts === undefined && i.selector === undefined,
  },
  {
    path: ['selector'],
    error: 'give either hosts or a selector, not both',
    holds: (i) => i.hosts !== undefined && i.selector !== undefined,
  },
  {
    path: ['exclude'],
    error: 'names hosts that "hosts" names too',
    holds: (i) => i.exclude.some((id) => i.hosts?.includes(id) === true),
  },
  {
    path: ['strategy', 'approval'],
    error: '"after-canary" needs a canary wave, and canary is 0',
    holds: ({ strategy: s }) => s.approval === 'after-canary' && isNone(s.canary),
  },
  {
    path: ['strategy', 'bakeTime', 'giveUpAfter'],
    error: 'must not be shorter than stableFor, or no wave could ever pass',
    holds: ({ strategy: { bakeTime: b } }) => toMs(b.giveUpAfter) < toMs(b.stableFor),
  },
  {
    path: ['maintenanceWindow', 'hostTakes'],
    error: 'no window is open long enough for a single host',
    holds: ({ maintenanceWindow: w }) =>
      w?.open.every(({ from, to }) => openMinutes(from, to) * 60_000 < toMs(w.hostTakes)) === true,
  },
];

const isNone = (value: Amount) => value === 0 || value === '0%';
const minutes = (time: string) => Number(time.slice(0, 2)) * 60 + Number(time.slice(3));
/** How long a window is open on a day without a change of the clocks; one that ends earlier than it begins spans midnight. */
const openMinutes = (from: string, to: string) =>
  (minutes(to) - minutes(from) + 24 * 60) % (24 * 60);

/** Each contradiction is told where it stands, all of them at once, whatever else is wrong. */
export const contradictionChecks = <Fields extends Contradictable>() =>
  contradictions.map(({ path, error, holds }) =>
    z.refine<Fields>(
      (input) => {
        try {
          return !holds(input);
        } catch {
          // What it looks at is wrong itself, and that is told already.
          return true;
        }
      },
      { path, error, when: () => true },
    ),
  );

export const updateFleetInput = z
  .strictObject(updateFleetFields)
  .check(...contradictionChecks<z.output<z.ZodMiniObject<typeof updateFleetFields>>>());
export type UpdateFleetInput = z.input<typeof updateFleetInput>;
export type UpdateFleetSettings = z.output<typeof updateFleetInput>;
