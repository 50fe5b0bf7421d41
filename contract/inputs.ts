import { z } from './zod';
import { duration } from './durations';
import { fault } from './faults';
import { RESTORE_FLOW_STEPS, SAVE_FLOW_STEPS } from './flows';
import { hostId, vmId } from './ids';
import type { VmStep } from './steps';

/** `modified` keeps the VF allocated, assigned and connected; `conventional` takes it off the guest and gives one back. */
export const MODES = ['modified', 'conventional'] as const;
export type Mode = (typeof MODES)[number];

/**
 * How the VPCI VSP is kept from taking the VF away (claim 2): it is told to skip (`instruct-skip`), it is never told
 * (`omit`), or it refuses (`block`).
 */
export const HOLD_MODES = ['instruct-skip', 'omit', 'block'] as const;
export type HoldMode = (typeof HOLD_MODES)[number];

/** Components of a host that an update can replace, and what that allows: see `planning/preflight.ts`. */
export const COMPONENTS = [
  'vmWorkerProcess',
  'vpciVsp',
  'vmSwitch',
  'pfDriver',
  'nicFirmware',
  'hypervisor',
] as const;
export type Component = (typeof COMPONENTS)[number];

/** Whether each VM has a component of this kind of its own. If so it is updated VM by VM; if not, while all VMs are dark together. */
export const isPerVm = (component: Component): boolean => component === 'vmWorkerProcess';

/** No VM may be planned to be dark for longer than this. */
export const HARD_BLACKOUT_LIMIT = '30s';

const blackoutBudget = z._default(duration({ min: '100ms', max: HARD_BLACKOUT_LIMIT }), '10s');
const faults = z._default(z.array(fault).check(z.maxLength(100)), []);

/** How a VF is brought back: step by step, or retrieval, bus, assignment and state as one step (claim 17). */
export const VIRTUAL_FUNCTION_RESTORES = ['step-by-step', 'one-step'] as const;
const virtualFunctionRestore = z._default(z.enum(VIRTUAL_FUNCTION_RESTORES), 'step-by-step');

/** An id as the server gives or takes it: 1-1000 characters. */
const id = (what: string) =>
  z
    .string(`${what} must be the id of the run that is forked`)
    .check(z.minLength(1), z.maxLength(1_000));

/**
 * For a fork (`npm run fork` fills it in): the run takes the VM from this old run and goes on at the step `at`; what comes
 * before it is not performed again. The host refuses it (`AdoptRefused`) unless `generation` is still the VM's present one,
 * nobody but the old run holds the VM, and the effects of all earlier steps are in place. Default: a run of its own.
 */
const adopt = <Step extends VmStep>(steps: readonly Step[]) =>
  z.optional(
    z.strictObject({
      workflowId: id('workflowId'),
      runId: id('runId'),
      /** Of the old run's last lease: what the host answered to its `beginSave`, `beginRestore` or `fenceOperation`. */
      generation: z.int().check(z.minimum(1)),
      /** The first step that this run performs itself. */
      at: z.enum(steps),
    }),
  );

export const fastSaveInput = z.strictObject({
  hostId,
  vmId,
  mode: z._default(z.enum(MODES), 'modified'),
  holdMode: z._default(z.enum(HOLD_MODES), 'instruct-skip'),
  /** How long the VM may be dark before the save is undone. Default 10s, at most 30s. */
  blackoutBudget,
  /** After this time the host restores the VM by itself, on the old stack. Default 5m, at most 24h. */
  maxSavedFor: z._default(duration({ min: '1s', max: '24h' }), '5m'),
  faults,
  adopt: adopt(SAVE_FLOW_STEPS),
});
export type FastSaveInput = z.input<typeof fastSaveInput>;

export const fastRestoreInput = z.strictObject({
  hostId,
  vmId,
  /** How long the restore may take before the shortest way forward is chosen. Default 10s, at most 30s. */
  blackoutBudget,
  virtualFunctionRestore,
  faults,
  adopt: adopt(RESTORE_FLOW_STEPS),
});
export type FastRestoreInput = z.input<typeof fastRestoreInput>;

/**
 * How a VM with passthrough functions moves: `emulated-path`: its I/O goes by an emulated device while passthrough is
 * drained and unplugged (US 2023/0153140); `unplug-replug`: its guest gives the VF back, runs on the synthetic path, and is
 * offered another VF at the destination.
 */
export const MIGRATION_METHODS = ['emulated-path', 'unplug-replug'] as const;
export type MigrationMethod = (typeof MIGRATION_METHODS)[number];

export const migrateVmInput = z
  .strictObject({
    vmId,
    fromHostId: hostId,
    toHostId: hostId,
    method: z._default(z.enum(MIGRATION_METHODS), 'emulated-path'),
    /** How long commands on the passthrough path may take to complete before the move is undone. Default 5s, at most 4m. */
    drainTimeLimit: z._default(duration({ min: '100ms', max: '4m' }), '5s'),
    /** How long the VM may be dark before the move is undone. Default 10s, at most 30s. */
    blackoutBudget,
    /** Leave the emulated path in place beside passthrough at the destination. Default false. */
    keepEmulatedPath: z._default(z.boolean(), false),
    faults,
  })
  .check(
    z.refine(({ fromHostId, toHostId }) => fromHostId !== toHostId, {
      error: 'the destination must be another host than the source',
      path: ['toHostId'],
    }),
  );
export type MigrateVmInput = z.input<typeof migrateVmInput>;
export type MigrateVmSettings = z.output<typeof migrateVmInput>;

export const update = z.strictObject({
  component: z._default(z.enum(COMPONENTS), 'vmWorkerProcess'),
  version: z
    .string()
    .check(
      z.regex(
        /^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}$/,
        'version must look like "2.0.1" (letters, digits, . + -)',
      ),
    ),
});
export type Update = z.output<typeof update>;

/** A webhook's address: http or https, at most 2,000 characters. */
export const webUrl = z
  .string('must be a URL such as "https://example.com/hook"')
  .check(
    z.maxLength(2_000),
    z.regex(/^https?:\/\/[^\s/?#]+/, 'must be a URL such as "https://example.com/hook"'),
  );

/** Who is told before a VM pauses, and how long their acknowledgement is waited for. */
export const notice = z.strictObject({
  /** An event in each guest, which it can acknowledge. Default true. */
  guests: z._default(z.boolean(), true),
  /** Signed, to whoever speaks for the tenants; 200 acknowledges it, any other 2xx means "not yet". */
  webhook: z.optional(webUrl),
  /** After this time the run goes on without an acknowledgement. Default 30s, at most 24h. */
  waitUpTo: z._default(duration({ min: '1s', max: '24h' }), '30s'),
});
export type Notice = z.output<typeof notice>;

/** How long each VM may be dark in all, over a period: on top of the budget of a single blackout. */
export const blackoutAllowance = z.strictObject({
  /** Default 30s, at most 1h. */
  atMost: z._default(duration({ min: '100ms', max: '1h' }), '30s'),
  /** Default 30d, at most 366d. */
  per: z._default(duration({ min: '1m', max: '366d' }), '30d'),
});
export type BlackoutAllowance = z.output<typeof blackoutAllowance>;

/** How a component that each VM has of its own is updated, VM by VM. Host-wide components have no use for it. */
export const rolling = z.strictObject({
  /** So many VMs of each class (kinds of adapters, PFs, mode) go before the others, each alone: 0-256, default 1. */
  canary: z._default(z.int().check(z.minimum(0), z.maximum(256)), 1),
  /** How long a canary runs before it is looked at and the next VM goes. Default 2s, at most 24h. */
  bakeFor: z._default(duration({ min: '0s', max: '24h' }), '2s'),
  /** How many VMs are prepared, and at most dark, at a time: 1-64, default 4. VMs of one PF go dark one after the other. */
  parallelism: z._default(z.int().check(z.minimum(1), z.maximum(64)), 4),
  /** A VM could not be saved, or is back on its old version: the host stops there (default), or goes on with the next VM. */
  onSaveFailure: z._default(z.enum(['stop', 'continue']), 'stop'),
  /** Bring a third version to a host whose VMs run two. Default false. */
  allowThirdVersion: z._default(z.boolean(), false),
});
export type Rolling = z.output<typeof rolling>;

/** How a host is serviced; the same for one host and for each host of a fleet. */
export const servicingSettings = {
  mode: z._default(z.enum(MODES), 'modified'),
  /**
   * What to do with VMs whose VF this update cannot keep: refuse the run (default), serve them conventionally, or migrate
   * them to another host first.
   */
  onCannotKeep: z._default(z.enum(['refuse', 'conventional', 'migrate']), 'refuse'),
  rolling: z.prefault(rolling, {}),
  holdMode: z._default(z.enum(HOLD_MODES), 'instruct-skip'),
  virtualFunctionRestore,
  /** How long each VM may be dark. Default 10s, at most 30s. */
  blackoutBudget,
  /** Of a host-wide update, how many VMs are prepared for their save, and how many restored, at a time: 1-256, default 16. */
  parallelism: z._default(z.int().check(z.minimum(1), z.maximum(256)), 16),
  /** Default: nobody is told. */
  notice: z.optional(notice),
};

export const serviceHostInput = z
  .strictObject({
    hostId,
    update,
    ...servicingSettings,
    /** For `onCannotKeep: "migrate"`: where VMs may go, the best host first. Each goes to the first that can take it. Default: none. */
    migrateTo: z._default(z.array(hostId).check(z.maxLength(100)), []),
    /** VMs that would be dark for longer than this are refused. Default: what a VM was dark before does not count. */
    blackoutAllowance: z.optional(blackoutAllowance),
    faults,
  })
  .check(
    z.refine((i) => !i.migrateTo.includes(i.hostId), {
      error: 'VMs cannot go to the host that they are to leave',
      path: ['migrateTo'],
    }),
  );
export type ServiceHostInput = z.input<typeof serviceHostInput>;
export type ServiceHostSettings = z.output<typeof serviceHostInput>;
