import type { FunctionOperation, PolicedOperation } from '../../../contract/functions';

/**
 * The commands of a simulated host that act on a function, as the operation that a function policy decides on. All others
 * (of the VM switch, the worker process, the repository, the hypervisor) pass its intermediary by.
 */
const OPERATION_OF_COMMAND: Readonly<Record<string, PolicedOperation>> = {
  OID_NIC_SWITCH_ALLOCATE_VF: 'allocateVirtualFunction',
  OID_NIC_SWITCH_FREE_VF: 'freeVirtualFunction',
  OID_SRIOV_RESET_VF: 'resetVirtualFunction',
  OID_NIC_SWITCH_CREATE_VPORT: 'createVPort',
  OID_NIC_SWITCH_DELETE_VPORT: 'deleteVPort',
  OID_RECEIVE_FILTER_MOVE_FILTER: 'moveReceiveFilter',
  SetIovWeight: 'setIovWeight',
  'VPCI.SetHold': 'holdVirtualFunction',
  'VPCI.ReleaseHold': 'releaseVirtualFunction',
  'Custody.AuthorisedRelease': 'releaseVirtualFunction',
  'VPCI.SaveDeviceState': 'saveVirtualFunctionState',
  'VPCI.ResetBusInterface': 'resetVpciBus',
  'VPCI.CreateBus': 'createVpciBus',
  'VPCI.CreateBus (connect)': 'createVpciBus',
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
const FUNCTION_COMMAND = /^(OID_NIC_SWITCH_|OID_SRIOV_|OID_RECEIVE_FILTER_|VPCI\.|VMBus\.|PF\.)/;

/** `unknown`: it acts on a function, but nobody has said as what: it is denied. `undefined`: it does not. */
export function operationOfCommand(command: string): PolicedOperation | 'unknown' | undefined {
  if (Object.hasOwn(OPERATION_OF_COMMAND, command)) return OPERATION_OF_COMMAND[command];
  if (READS.has(command)) return 'readVirtualFunction';
  return FUNCTION_COMMAND.test(command) ? 'unknown' : undefined;
}

/** The command by which an operation that somebody asked for reaches PF or VF. */
export const COMMAND_OF_OPERATION: Readonly<Record<FunctionOperation, string>> = {
  describeFunction: 'PF.DescribeFunction',
  listFunctions: 'Controller.ListFunctions',
  allocateVirtualFunction: 'OID_NIC_SWITCH_ALLOCATE_VF',
  freeVirtualFunction: 'OID_NIC_SWITCH_FREE_VF',
  resetVirtualFunction: 'OID_SRIOV_RESET_VF',
  unassignVirtualFunction: 'VPCI.UnassignDevice',
  reallocateVirtualFunction: 'PF.SetVirtualFunctionBandwidth',
  setAllVirtualFunctions: 'PF.SetAllVirtualFunctions',
  powerCycleDevice: 'PF.PowerCycle',
  createRemoteFunction: 'Controller.CreateRemoteFunction',
  changeRemoteFunction: 'Controller.ChangeRemoteFunction',
  removeRemoteFunction: 'Controller.RemoveRemoteFunction',
  createCompositeFunction: 'Controller.CreateCompositeFunction',
  removeCompositeFunction: 'Controller.RemoveCompositeFunction',
};
