import { z } from '../../../contract/zod';
import { HoldfastError } from '../../../contract/failures';
import type { OperationSettings } from '../../../contract/host';
import type {
  Manifest,
  MigrationOperation,
  MigrationRequest,
  MigrationStage,
  ReceptionRequest,
} from '../../../contract/migration';
import { fit } from '../../../contract/migration-fit';
import { startIo } from '../devices/guest-io';
import {
  emptyMailboxes,
  issueLease,
  noteBefore,
  operationOf,
  quarantineOf,
  refuseIfHeld,
  refuseQuarantined,
  servicingOf,
} from '../../engine/leases';
import type { Port } from '../../engine/port';
import { refuseUnready } from '../identity';
import { sameHolder } from '../../engine/phase';
import type { Lease } from '../../engine/state';
import type { Objects, VmState } from '../state';
import type { SimulatorStore } from '../store';
import { eachAdapter } from '../operations/each-adapter';
import {
  arriveWithout,
  destinationFacts,
  functionOf,
  passthroughFunctions,
  startMedia,
} from './functions';
import { refuseUnlessHere, underWay, unfinished, type MigrationState } from './migration-state';

const settingsOf = ({ blackoutBudgetMs }: { readonly blackoutBudgetMs: number }) =>
  ({
    mode: 'modified',
    holdMode: 'instruct-skip',
    virtualFunctionRestore: 'step-by-step',
    blackoutBudgetMs,
    maxSavedForMs: 0,
  }) as const satisfies OperationSettings;

/** The lease of the VM at its source, with what the destination must have. */
export function beginMigration(
  port: Port<Objects>,
  o: Objects,
  request: MigrationRequest,
): MigrationOperation {
  const { vm, host } = o;
  const { migration } = vm;
  if (vm.lease !== null && migration !== undefined && sameHolder(vm.lease.holder, request.holder)) {
    return answer(port, o, vm.lease, migration.relinquished === null ? 'new' : 'relinquished');
  }
  const isThere = migration?.relinquished != null && migration.peer === request.toHostId;
  if (migration?.gone === true && migration.role === 'source' && isThere) {
    // Nothing is left here that could be leased; the destination may not have been told.
    const lease = { generation: vm.generation, ...leaseOf(request) };
    return answer(port, o, lease, 'released');
  }
  refuseUnlessHere(host, vm);
  servicingOf(o, request);
  refuseIfHeld(vm, request);
  const left = underWay(vm);
  if (left?.relinquished != null && !isThere) throw unfinished(vm.vmId, left.manifest);
  if (left === null) {
    refuseQuarantined(host);
    refuseUnmovable(o);
  }
  emptyMailboxes(port, o);
  vm.lease = issueLease(o, { ...request, settings: settingsOf(request) }, 'migration');
  if (left === null) startMigration(port, o, request);
  const stage = left === null ? 'new' : left.relinquished === null ? 'underWay' : 'relinquished';
  return answer(port, o, vm.lease, stage);
}

const leaseOf = (request: Pick<MigrationRequest, 'holder' | 'blackoutBudgetMs'>) => ({
  holder: request.holder,
  kind: 'migration' as const,
  settings: settingsOf(request),
});

function answer(
  port: Port<Objects>,
  o: Objects,
  lease: Lease,
  stage: MigrationStage,
): MigrationOperation {
  const { migration } = o.vm;
  if (migration === undefined) throw new RangeError('a lease of a migration without a migration');
  return { ...operationOf(port, o, lease), stage, manifest: migration.manifest };
}

/** A VM that stands in the middle of something else must come out of that first. */
function refuseUnmovable({ vm }: Objects): void {
  if (vm.partition.state !== 'running') {
    throw new HoldfastError('NotRunning', `${vm.vmId} does not run, so it cannot be migrated.`);
  }
  const isHeld = vm.adapters.some(
    ({ custody, vdev }) => custody !== null || vdev.optimizations !== 'enabled',
  );
  if (isHeld) {
    throw new HoldfastError('NotReady', `A save of ${vm.vmId} has begun and is not over.`);
  }
  refuseUnready(vm);
}

/** Of a migration that begins, at either end. */
const NOTHING_YET = {
  drain: null,
  package: null,
  relinquished: null,
  gone: false,
  over: null,
} as const satisfies Partial<MigrationState>;

function startMigration(port: Port<Objects>, o: Objects, request: MigrationRequest): void {
  const { vm, host, nowMs } = o;
  const { method, toHostId, drainTimeLimitMs } = request;
  noteBefore(port, o);
  const functions = passthroughFunctions(o);
  const withEmulated = eachAdapter(o)
    .filter((of) => functionOf(of, 'emulated') !== undefined)
    .map(({ adapter }) => adapter.adapterId);
  const manifest: Manifest = {
    migrationId: `${host.hostId}/${vm.vmId}/${String(vm.generation)}`,
    vmId: vm.vmId,
    fromHostId: host.hostId,
    toHostId,
    method,
    functions,
    stackVersion: vm.workerProcess.version,
    // The destination makes a place for a VM of this form.
    content: JSON.stringify({
      ...vm,
      ...{ migration: null, mailbox: null, lease: null, faults: [] },
      // What the policy of this host has authorised is good here only.
      readoption: undefined,
    }),
  };
  vm.migration = {
    role: 'source',
    migrationId: manifest.migrationId,
    method,
    peer: toHostId,
    manifest,
    drainTimeLimitMs,
    functions: functions.map((each) => ({
      ...each,
      io: startIo(each.kind, { emulated: withEmulated.includes(each.adapterId) }, nowMs),
      exposed: [],
      saved: null,
    })),
    ...NOTHING_YET,
  };
  o.media = startMedia(functions);
}

/** The check of the destination, and the lease of a VM that is to come. */
export function beginReception(
  { store, port }: { readonly store: SimulatorStore; readonly port: Port<Objects> },
  request: ReceptionRequest,
): MigrationOperation {
  const { hostId, vmId, manifest } = request;
  return store.updateHost(hostId, ({ host, nowMs }) => {
    const known = store.findVm(hostId, vmId);
    const pfs = store.pfs(hostId);
    const vm = known ?? placeFor(manifest, {});
    const o: Objects = { host, pfs, vm, nowMs };
    const isSame = known?.migration?.migrationId === manifest.migrationId && !known.migration.gone;
    if (isSame && vm.lease !== null && sameHolder(vm.lease.holder, request.holder)) {
      return answer(port, o, vm.lease, stageOf(o));
    }
    if (isSame && stageOf(o) === 'over') {
      return answer(port, o, { generation: vm.generation, ...leaseOf(request) }, 'over');
    }
    // What has begun here goes on, whatever else the host is at.
    if (!isSame) servicingOf(o, request);
    refuseIfHeld(vm, request);
    const here = isSame
      ? { ...vm, mailbox: null }
      : { ...placeFor(manifest, pfsFor(o, manifest)), generation: vm.generation };
    const placed: Objects = { ...o, vm: here };
    here.lease = issueLease(placed, { ...request, settings: settingsOf(request) }, 'migration');
    store.putVm(hostId, here);
    const operation = answer(port, placed, here.lease, stageOf(placed));
    store.append(host, {
      vmId,
      step: 'beginReception',
      generation: operation.generation,
      kind: 'result',
      command: null,
      status: operation.stage,
      detail: `from ${manifest.fromHostId}`,
    });
    return operation;
  });
}

function stageOf({ host, vm }: Objects): MigrationStage {
  if (vm.migration?.over != null) return 'over';
  return host.vmIds.includes(vm.vmId) ? 'resumed' : 'reserved';
}

/** A device for each function of the VM; refused with all that does not fit. */
function pfsFor({ host, pfs }: Objects, manifest: Manifest): Readonly<Record<string, string>> {
  const quarantine = quarantineOf(host);
  const { reasons, pfIds } = fit(destinationFacts(host, pfs, manifest.vmId), manifest);
  const places = { ...pfIds };
  const all = [...(quarantine === null ? [] : [`it is quarantined: ${quarantine}`]), ...reasons];
  for (const { adapterId, kind, pfId } of vmOf.parse(JSON.parse(manifest.content)).adapters) {
    if (manifest.functions.some((each) => each.adapterId === adapterId)) continue;
    // An adapter without a function has its place all the same: a NIC at a switch.
    const alike = pfs.filter((pf) => pf.kind === kind);
    const place = alike.find((pf) => pf.pfId === pfId) ?? alike[0];
    if (place === undefined) all.push(`it has no ${kind} device for ${adapterId}`);
    else places[adapterId] = place.pfId;
  }
  if (all.length === 0) return places;
  throw new HoldfastError(
    'DestinationUnfit',
    `${host.hostId} cannot take ${manifest.vmId} from ${manifest.fromHostId}: ${all.join('; ')}.`,
    { reasons: all },
  );
}

const vmOf = z.intersection(z.looseObject({ vmId: z.string() }), z.custom<VmState>());

/** A VM of the same form that is not here yet: nothing of it runs, and it has no function. */
function placeFor(manifest: Manifest, pfIds: Readonly<Record<string, string>>): VmState {
  const vm: VmState = vmOf.parse(JSON.parse(manifest.content));
  const migration: MigrationState = {
    role: 'destination',
    migrationId: manifest.migrationId,
    method: manifest.method,
    peer: manifest.fromHostId,
    manifest: { ...manifest, content: '' },
    drainTimeLimitMs: 0,
    functions: manifest.functions.map((each) => ({
      ...each,
      io: startIo(each.kind, { emulated: false }, 0),
      exposed: [],
      saved: null,
    })),
    ...NOTHING_YET,
  };
  return {
    ...vm,
    generation: 0,
    lease: null,
    nextLease: null,
    mailbox: null,
    faults: [],
    adapters: vm.adapters.map((each) => arriveWithout(each, pfIds[each.adapterId] ?? each.pfId)),
    partition: { ...vm.partition, state: 'gone', pagesPinned: false, pausedAtMs: null },
    workerProcess: { ...vm.workerProcess, state: 'prepared' },
    successor: null,
    record: null,
    migration,
  };
}
