import type { Beginning } from '../../contract/host';
import type { Holder } from '../../contract/ids';
import type { NetworkAdapterState } from './devices/network-adapter';
import { hostNowMs } from './clock';
import type { LatencyProfile } from './latency';
import { sameHolder } from './leases';
import type { HostState, Objects, VmState } from './state';
import type { HostStore } from './store';

/** Raised when the state of hosts changes so that an older one means something else. */
const STATE_VERSION = 1;

/** A simulated host as it was at one moment of its clock. */
export interface Simulation {
  readonly stateVersion: number;
  readonly hostTimeMs: number;
  readonly profile: LatencyProfile;
  readonly host: HostState;
  readonly pf: NetworkAdapterState;
  readonly vms: readonly VmState[];
}

/** The beginning of a run that takes one VM: the VM as it is now, before the run changes anything. */
export const beginningOfVm = (o: Objects, profile: LatencyProfile): Simulation => ({
  stateVersion: STATE_VERSION,
  hostTimeMs: o.nowMs,
  profile,
  ...structuredClone({ host: { ...o.host, vmIds: [o.vm.vmId] }, pf: o.pf, vms: [o.vm] }),
});

/** The beginning of a run that takes the whole host, read from the store inside its transaction. */
export const beginningOfHost = (
  store: HostStore,
  host: HostState,
  profile: LatencyProfile,
): Simulation => ({
  stateVersion: STATE_VERSION,
  hostTimeMs: hostNowMs(),
  profile,
  host: structuredClone(host),
  pf: store.pf(host.hostId),
  vms: host.vmIds.map((vmId) => store.vm(host.hostId, vmId)),
});

export function readBeginnings(
  store: HostStore,
  hostId: string,
  holders: readonly Holder[],
): readonly Beginning[] {
  return store
    .beginnings(hostId)
    .filter((beginning) => holders.some((holder) => sameHolder(holder, beginning.holder)));
}
