import {
  CORE_HOST_MOMENTS,
  CORE_VM_MOMENTS,
  MAILBOX_MOMENTS,
  type Moments,
} from '../engine/moments';
import type { PhysicalFunctionState } from './devices/physical-function';
import type { HostState, VmState } from './state';

export const VM_MOMENTS = {
  ...CORE_VM_MOMENTS,
  partition: { pausedAtMs: 'host', guestClockLagMs: 'none' },
  workerProcess: 'none',
  adapters: {
    each: {
      vdev: 'none',
      nic: 'none',
      vpci: 'none',
      guest: {
        ring: 'none',
        droppedPackets: 'none',
        interruptsReplayed: 'none',
        vfPathDownSinceMs: 'host',
        vfOutageMs: 'none',
        events: { each: { atMs: 'host' } },
      },
      custody: 'none',
      heldFunction: 'none',
      configuredIovWeight: 'none',
      identityBefore: 'none',
      before: 'none',
    },
  },
  successor: 'none',
  // Its checksum stands in it.
  record: 'none',
  retreatedBy: 'none',
  functionsGivenUpBy: 'none',
  migration: {
    manifest: 'none',
    drainTimeLimitMs: 'none',
    functions: {
      each: {
        namespace: 'none',
        identity: 'none',
        io: {
          paths: 'none',
          sinceMs: 'host',
          base: 'none',
          submitted: 'none',
          given: 'none',
          completed: 'none',
        },
        saved: 'none',
      },
    },
    drain: { startedAtMs: 'host', commands: 'none', drainedAtMs: 'host' },
    relinquished: { atMs: 'host', darkForMs: 'none' },
    over: 'none',
  },
} as const satisfies Moments<VmState>;

export const HOST_MOMENTS = {
  ...CORE_HOST_MOMENTS,
  seed: 'none',
  switchExtensions: 'none',
  nextWorkerProcess: 'none',
  nextLuid: 'none',
  updateDefect: 'none',
} as const satisfies Moments<HostState>;

export const PF_MOMENTS = {
  ...MAILBOX_MOMENTS,
  iovVfCapacity: 'none',
  iovVfUsage: 'none',
  bandwidthGbps: 'none',
  vfs: {
    each: {
      vfId: 'none',
      serialNumber: 'none',
      bandwidthGbps: 'none',
      configEpoch: 'none',
      ring: { base: 'none', sinceMs: 'host' },
    },
  },
  vports: 'none',
  filters: 'none',
  nextVPortId: 'none',
  nextSerialNumber: 'none',
} as const satisfies Moments<PhysicalFunctionState>;
