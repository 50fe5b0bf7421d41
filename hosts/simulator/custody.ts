import { FUNCTION_COMMANDS } from './devices/physical-function';

/** Commands that would lose a held VF. While the host has custody they are refused, and that they were tried is kept. */
export const FORBIDDEN_IN_CUSTODY: ReadonlySet<string> = new Set([
  ...Object.values(FUNCTION_COMMANDS).flatMap(({ free, reset }) => [free, reset]),
  'OID_NIC_SWITCH_DELETE_VPORT',
  'OID_RECEIVE_FILTER_MOVE_FILTER',
  'VPCI.UnassignDevice',
  'VPCI.Eject',
  'VPCI.EjectComplete',
  'VMBus.RescindOffer',
  'SetIovWeight',
  'StopVm',
  'CheckpointVm',
  'MigrateVm',
]);
