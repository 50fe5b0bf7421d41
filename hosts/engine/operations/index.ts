import type { HostStep, VmStep } from '../../../contract/steps';
import type { Operations } from '../operation';
import type { HostObjectsOf, NotSupported, Port } from '../port';
import type { CoreObjects } from '../state';
import { gateSteps } from './gate-steps';
import { leaseSteps } from './lease-steps';
import { updateSteps } from './update';

export type VmOperations<O> = Operations<O, VmStep, NotSupported>;
export type HostOperations<O extends CoreObjects> = Operations<
  HostObjectsOf<O>,
  HostStep,
  NotSupported
>;

/** How each step of a VM is performed: gates and leases by the engine, all else by the driver. */
export const vmOperationsOf = <O extends CoreObjects>(port: Port<O>): VmOperations<O> => ({
  ...port.operations,
  ...gateSteps(port),
  ...leaseSteps(port),
});

export const hostOperationsOf = <O extends CoreObjects>(port: Port<O>): HostOperations<O> => ({
  ...port.hostOperations,
  ...updateSteps(port),
});
