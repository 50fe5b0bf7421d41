import { HoldfastError } from '../../contract/failures';
import type { VmStep } from '../../contract/steps';
import { nextVersion } from '../engine/gates';
import { wrongWith } from '../engine/operations/update';
import { handPartitionTo } from './devices/hypervisor-partition';
import { vfOf } from './devices/physical-function';
import * as vdev from './devices/synthetic-network-adapter';
import { prepareWorkerProcess } from './devices/vm-worker-process';
import { eachAdapter } from './operations/each-adapter';
import { startStack } from './start-stack';
import type { Objects, Successor, VmState } from './state';

/**
 * The process that takes a VM over: prepared before the pause, the VM's own from the claim of its record on. Until
 * `resumeVm` consumes the record nothing is lost with it, since the hypervisor keeps the partition.
 */

export const versionToBe = ({ vm }: Objects) => nextVersion(vm, vm.workerProcess.version);

/** A worker process of the version that is wanted, which is asked what it is before anything depends on it. */
export function prepareSuccessor(o: Objects): Successor {
  const { vm, host } = o;
  const wanted = versionToBe(o);
  host.nextWorkerProcess += 1;
  const before = vm.workerProcess.version;
  const wrong =
    wanted === before
      ? undefined
      : wrongWith(
          startStack(host, 'vmWorkerProcess', { before, now: wanted }),
          'vmWorkerProcess',
          wanted,
        );
  if (wrong !== undefined)
    throw new HoldfastError('UpdateFailed', `${vm.vmId} has no successor: ${wrong}.`);
  vm.successor = {
    workerProcess: prepareWorkerProcess(host.nextWorkerProcess, wanted),
    vdevs: Object.fromEntries(
      vm.adapters.map(({ adapterId }) => [adapterId, vdev.createAdapter()]),
    ),
  };
  return vm.successor;
}

/** One that has all that it needs to take the VM over at once. */
export function prepareReadySuccessor(o: Objects): void {
  for (const next of Object.values(prepareSuccessor(o).vdevs)) {
    vdev.initialize(next);
    vdev.finishReservingResources(next);
  }
}

export const isOfRightVersion = (o: Objects): boolean =>
  o.vm.successor?.workerProcess.version === versionToBe(o);

const successorOf = ({ vm }: Objects) =>
  vm.record?.state === 'claimed' ? vm.workerProcess : vm.successor?.workerProcess;

const ended = ({ vmId }: Pick<VmState, 'vmId'>, number: number) =>
  new HoldfastError(
    'SuccessorEnded',
    `Worker process ${number}, the successor of ${vmId}, has ended.`,
  );

export function refuseEndedSuccessor(o: Objects): void {
  const successor = successorOf(o);
  if (successor?.state === 'exited') throw ended(o.vm, successor.number);
}

/** What happens in the worker process that takes the VM over. */
export const IN_SUCCESSOR: ReadonlySet<string> = new Set<VmStep>([
  'powerOnRestore',
  'createVpciBus',
  'assignVirtualFunction',
  'restoreVirtualFunctionState',
  'retrieveAndRestoreVirtualFunction',
  'restoreVm',
  'markVirtualFunctionAssigned',
  'resumeSyntheticAdapter',
  'connectSyntheticAdapter',
  'resumeVm',
]);

/** Once the record is claimed, all that restores the VM happens in the process that claimed it. */
export function refuseWithoutSuccessor({ vm }: Objects): void {
  const { record, workerProcess } = vm;
  if (record?.state === 'claimed' && workerProcess.state === 'exited')
    throw ended(vm, workerProcess.number);
}

/** A fault: it ends, whatever it is doing. */
export function endSuccessor(o: Objects): void {
  const { vm } = o;
  if (vm.record?.state === 'claimed') endWorkerProcess(vm);
  else if (vm.successor !== null) vm.successor.workerProcess.state = 'exited';
}

/** What it held goes back to the hypervisor, which has kept the guest's memory all along. */
export function endWorkerProcess(vm: VmState): void {
  vm.workerProcess.state = 'exited';
  handPartitionTo(vm.partition, 'hypervisor');
}

/** From the mark on the VM depends on it: it lives, is of the version that is wanted, and its VFs are as they were saved. */
export function refuseUnfitSuccessor(o: Objects): void {
  const { vm } = o;
  if (vm.versions === undefined) return;
  refuseEndedSuccessor(o);
  const { successor, record, vmId } = vm;
  if (!isOfRightVersion(o)) {
    const is =
      successor === null ? 'has no successor' : `has one of ${successor.workerProcess.version}`;
    const wanted = versionToBe(o);
    throw new HoldfastError('Refused', `${vmId} cannot cross: it ${is}, not of ${wanted}.`);
  }
  for (const of of eachAdapter(o)) {
    const { adapterId } = of.adapter;
    const info = record?.blocks.adapters[adapterId]?.vfInfo;
    const epoch = vfOf(of)?.configEpoch;
    if (info !== undefined && epoch !== info.configEpoch)
      throw new HoldfastError(
        'ConfigEpochChanged',
        `${vmId} cannot cross: the VF of ${adapterId} was reset while it was saved.`,
      );
  }
}
