/** The queue that people and the fleet start workflows on. Orchestrator workers poll it. */
export const HOLDFAST_QUEUE = 'holdfast';

/** The activity queue of one host: only a worker on (or beside) that host polls it. */
export const hostQueue = (hostId: string): string => `holdfast-host-${hostId}`;

/** For the calls around the steps of a host, which must not wait behind hundreds of steps: fence, stop, open the gate, describe. */
export const hostControlQueue = (hostId: string): string => `${hostQueue(hostId)}-control`;

/** Workflow ids are derived from what the run locks. */
/** A fleet update by the name of its fleet, so that the same one is not started twice. */
export const updateFleetId = (name: string): string => `update-fleet/${name}`;
/** Of a fleet's own children: not derived from its workflow id, which a history that was downloaded does not have. */
export const fleetChildId = (kind: 'survey' | 'health', planId: string, number: number): string =>
  `fleet-${kind}/${planId}/${number}`;
export const serviceHostId = (hostId: string): string => `service-host/${hostId}`;
export const fastSaveId = (hostId: string, vmId: string): string => `fast-save/${hostId}/${vmId}`;
/** One migration of a VM at a time, wherever it goes. */
export const migrateVmId = (fromHostId: string, vmId: string): string =>
  `migrate-vm/${fromHostId}/${vmId}`;
export const fastRestoreId = (hostId: string, vmId: string): string =>
  `fast-restore/${hostId}/${vmId}`;
