import { UNDO_MIGRATION, UNDO_SAVE } from '../../contract/steps';
import type { Operation } from '../engine/operation';
import type { Port } from '../engine/port';
import { shiftMoments } from '../engine/moments';
import { refused } from '../engine/refused';
import { attemptOf } from './attempts';
import { simulationNow } from './beginnings';
import { FORBIDDEN_IN_CUSTODY } from './custody';
import { describeVm } from './describe';
import type { PhysicalFunctionState } from './devices/physical-function';
import { READABLE_RECORD_VERSIONS } from './devices/runtime-repository';
import {
  intermediary,
  intermediaryOfSent,
  noteHold,
  type SentCommand,
} from './functions/intermediary';
import { authoriseReadoption } from './functions/readoption';
import { firstIdentityBefore, noteBefore, refuseUnready } from './identity';
import { imageOf } from './image';
import { checkInvariants } from './invariants';
import { expectedTimes, type LatencyProfile } from './latency';
import { freeFunctions } from './migration/functions';
import { refuseMigrating, refuseUnlessHere, underWay } from './migration/migration-state';
import { HOST_MOMENTS, PF_MOMENTS, VM_MOMENTS } from './moments';
import { noticeGuests } from './notice-guests';
import { OPERATIONS } from './operations';
import type { StepOperation } from './operations/operation';
import { verify } from './operations/resume';
import { runnerOf, type Pace } from './runner';
import { startStack } from './start-stack';
import type { HostState, Objects, VmState } from './state';
import type { SimulatorStore } from './store';
import { refuseUnfitSuccessor } from './successor';

/** What the engine asks of simulated hosts: a Hyper-V-like stack, with faults and latencies as data. */
export function simulatorPort(store: SimulatorStore, profile: LatencyProfile): Port<Objects> {
  const pace: Pace = { profile, seedOf: (hostId) => store.host(hostId).seed };
  const operations = Object.fromEntries(
    Object.entries<StepOperation>(OPERATIONS).map(([step, operation]) => [
      step,
      {
        ...operation,
        effect: (c) => operation.effect(runnerOf(c, pace)),
      } satisfies Operation<Objects>,
    ]),
  ) as Port<Objects>['operations'];
  return {
    driver: 'simulator',
    faults: true,
    operations,
    hostOperations: { noticeGuests: noticeGuests(store, pace) },
    image: imageOf,
    describe: describeVm,
    identityBefore: firstIdentityBefore,
    undoSteps: (vm) => (underWay(vm) === null ? UNDO_SAVE : UNDO_MIGRATION),
    discardSuccessor: (vm) => {
      vm.successor = null;
    },
    refuseUnready,
    refuseUncrossable,
    refuseUnlessHere: ({ host, vm }) => {
      refuseUnlessHere(host, vm);
    },
    refuseElsewhere: refuseMigrating,
    noteBefore,
    authorise: (o) => {
      const decision = authoriseReadoption(store, o);
      return decision?.effect === 'deny' ? decision.error : undefined;
    },
    adoptRecord,
    moveClock: (host, vms, byMs) => {
      const by = { host: byMs, wall: 0 };
      shiftMoments<HostState>(host, HOST_MOMENTS, by);
      for (const vm of vms) shiftMoments<VmState>(vm, VM_MOMENTS, by);
      store.changePfs(host.hostId, (pfs) => {
        for (const pf of pfs) shiftMoments<PhysicalFunctionState>(pf, PF_MOMENTS, by);
      });
    },
    beginning: (o) => simulationNow(store, o, profile),
    describeHost: ({ host }) => ({
      capabilities: {
        custodyBelowVsp: host.custodyBelowVsp,
        recordVersions: READABLE_RECORD_VERSIONS,
      },
      physicalFunctions: freeFunctions(store.pfs(host.hostId)),
      expected: expectedTimes(profile),
    }),
    verify,
    startStack,
    attempt: (step, o) => {
      const operation = (OPERATIONS as Partial<Record<string, StepOperation>>)[step];
      return attemptOf(step, o, pace, operation?.ownLatency === true || step === 'noticeGuests');
    },
    devices: ({ pfs, vm }) =>
      pfs.filter(({ pfId }) => vm.adapters.some((adapter) => adapter.pfId === pfId)),
    servesOneAtATime: ({ adapters }) => [
      ...new Set(adapters.filter(({ wantsVf }) => wantsVf).map(({ pfId }) => pfId)),
    ],
    custody: {
      forbidden: FORBIDDEN_IN_CUSTODY,
      holdOf: ({ adapters }, adapterId) =>
        adapters
          .filter((adapter) => adapterId === undefined || adapter.adapterId === adapterId)
          .map(({ custody }) => custody)
          .find((custody) => custody !== null && !custody.lost) ?? undefined,
    },
    hasSeveralAdapters: ({ adapters }) => adapters.length > 1,
    decide: (o, { by = 'host', adapterId }, command) =>
      typeof by === 'string'
        ? intermediary(store, o, { command, by, adapterId })
        : intermediaryOfSent(store, o, by as SentCommand, command),
    carriedOut: ({ vm }, { adapterId }, command) => {
      noteHold(vm, adapterId, command);
    },
    check: checkInvariants,
  };
}

function refuseUncrossable(o: Objects): void {
  const { vmId, record, adapters } = o.vm;
  const unsaved = adapters.find(({ vdev }) => vdev.state !== 'Saved');
  if (record?.state !== 'committed' || unsaved !== undefined)
    throw refused(
      `${vmId} cannot cross: its record is ${record?.state ?? 'missing'}, its adapter ${unsaved?.vdev.state ?? 'Saved'}.`,
    );
  refuseUnfitSuccessor(o);
}

/** What is known under the older generation becomes the new one's, so that its blocks and its claim stay good. */
function adoptRecord(vm: VmState, from: number, to: number): void {
  const { record } = vm;
  if (record === null || record.generation > from) return;
  vm.record = {
    ...record,
    generation: record.state === 'writing' || record.state === 'committed' ? to : record.generation,
    claimedBy: record.claimedBy === null ? null : to,
  };
}
