/** Orders that the claims ask for, in the commands of a host's journal. */
export const SAVE_IN_ORDER = [
  'VDEV.StartDisableOptimizations',
  'VPCI.SetHold',
  'VDEV.FinishDisableOptimizations',
  'Hypervisor.SuspendVirtualProcessors',
  'VPCI.SaveDeviceState',
  'Repository.WriteVirtualFunctionInfo',
  'OID_SWITCH_NIC_SAVE (start)',
  'OID_SWITCH_NIC_SAVE_COMPLETE',
];
export const IDS_BUS_VF_STATE = [
  'Repository.ReadVirtualFunctionInfo',
  'VPCI.CreateBus',
  'VPCI.AssignDevice',
  'VPCI.CreateBus (connect)',
  'VPCI.RestoreDeviceState',
];
export const ADAPTER_AND_VM = [
  'OID_SWITCH_NIC_RESTORE (start)',
  'OID_SWITCH_NIC_RESTORE_COMPLETE',
  'VDEV.Resume',
  'Hypervisor.ResumeVirtualProcessors',
];
