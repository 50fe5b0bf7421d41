import type { FunctionOperation, PolicedOperation } from '../../../contract/functions';
import { FUNCTION_COMMANDS, type FunctionKind } from '../devices/physical-function';

const ofEachKind = Object.values(FUNCTION_COMMANDS).flatMap(
  ({ allocate, reset, free }): [string, PolicedOperation][] => [
    [allocate, 'allocateVirtualFunction'],
    [reset, 'resetVirtualFunction'],
    [free, 'freeVirtualFunction'],
  ],
);

/**
 * The commands of a simulated host that act on a function, as the operation that a function policy decides on. All others
 * (of the VM switch, the worker process, the repository, the hypervisor) pass its intermediary by.
 */
const OPERATION_OF_COMMAND: Readonly<Record<string, PolicedOperation>> = {
  ...Object.fromEntries(ofEachKind),
  OID_NIC_SWITCH_CREATE_VPORT: 'createVPort',
  OID_NIC_SWITCH_DELETE_VPORT: 'deleteVPort',
  OID_RECEIVE_FILTER_MOVE_FILTER: 'moveReceiveFilter',
  OID_RECEIVE_FILTER_SET_FILTER: 'moveReceiveFilter',
  OID_RECEIVE_FILTER_CLEAR_FILTER: 'moveReceiveFilter',
  'NVMe.AttachNamespace': 'attachNamespace',
  'NVMe.ChangeAnaState': 'changePathState',
  SetIovWeight: 'setIovWeight',
  'VPCI.SetHold': 'holdVirtualFunction',
  'VPCI.ReleaseHold': 'releaseVirtualFunction',
  'Custody.AuthorisedRelease': 'releaseVirtualFunction',
  'VPCI.SaveDeviceState': 'saveVirtualFunctionState',
  'VPCI.ResetBusInterface': 'resetVpciBus',
  'VPCI.CreateBus': 'createVpciBus',
  'VPCI.CreateBus (connect)': 'createVpciBus',
  'VPCI.ConnectDevice': 'createVpciBus',
  'VPCI.AssignDevice': 'assignVirtualFunction',
  'VPCI.RestoreDeviceState': 'restoreVirtualFunctionState',
  'VDEV.MarkVirtualFunctionAssigned': 'markVirtualFunctionAssigned',
  'VPCI.UnassignDevice': 'unassignVirtualFunction',
  'VPCI.Eject': 'unassignVirtualFunction',
  'VPCI.EjectComplete': 'unassignVirtualFunction',
  'VMBus.RescindOffer': 'unassignVirtualFunction',
  'VMBus.Offer': 'offerVirtualFunction',
  // A VM that is stopped, checkpointed or migrated loses its VF by it.
  StopVm: 'unassignVirtualFunction',
  CheckpointVm: 'unassignVirtualFunction',
  MigrateVm: 'unassignVirtualFunction',
};

/** These only look. */
const READS: ReadonlySet<string> = new Set([
  'VPCI.DrainTransactions',
  'VPCI.ReadInterface',
  'VPCI.ReadAssignment',
  'VPCI.QUERY_PROTOCOL_VERSION',
  'VPCI.QUERY_BUS_RELATIONS',
  'VPCI.D0_ENTRY',
  'VPCI.RESOURCES_ASSIGNED',
  'SyntheticNic.DetermineVfAllocatedAndAssigned',
]);

/** Who is addressed like this is a function, or what stands in front of one. */
const FUNCTION_COMMAND =
  /^(OID_NIC_SWITCH_|OID_SRIOV_|OID_RECEIVE_FILTER_|NVMe\.|VPCI\.|VMBus\.|PF\.)/;

/** `unknown`: it acts on a function, but nobody has said as what: it is denied. `undefined`: it does not. */
export function operationOfCommand(command: string): PolicedOperation | 'unknown' | undefined {
  if (Object.hasOwn(OPERATION_OF_COMMAND, command)) return OPERATION_OF_COMMAND[command];
  if (READS.has(command)) return 'readVirtualFunction';
  return FUNCTION_COMMAND.test(command) ? 'unknown' : undefined;
}

/** The command by which an operation that somebody asked for reaches PF or VF. */
export function commandOf(operation: FunctionOperation, kind: FunctionKind = 'network'): string {
  switch (operation) {
    case 'allocateVirtualFunction':
      return FUNCTION_COMMANDS[kind].allocate;
    case 'freeVirtualFunction':
      return FUNCTION_COMMANDS[kind].free;
    case 'resetVirtualFunction':
      return FUNCTION_COMMANDS[kind].reset;
    case 'unassignVirtualFunction':
      return 'VPCI.UnassignDevice';
    case 'reallocateVirtualFunction':
      return 'PF.SetVirtualFunctionBandwidth';
    case 'setAllVirtualFunctions':
      return 'PF.SetAllVirtualFunctions';
    case 'powerCycleDevice':
      return 'PF.PowerCycle';
    case 'describeFunction':
      return 'Controller.DescribeFunction';
    case 'listFunctions':
      return 'Controller.ListFunctions';
    case 'createRemoteFunction':
      return 'Controller.CreateRemoteFunction';
    case 'changeRemoteFunction':
      return 'Controller.ChangeRemoteFunction';
    case 'removeRemoteFunction':
      return 'Controller.RemoveRemoteFunction';
    case 'createCompositeFunction':
      return 'Controller.CreateCompositeFunction';
    case 'removeCompositeFunction':
      return 'Controller.RemoveCompositeFunction';
  }
}
