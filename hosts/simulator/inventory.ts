import type { Inventory } from '../../contract/inventory';
import type { SimulatorStore } from './store';

/** The simulated hosts of a fleet directory, as an inventory of real ones would have them. */
export const inventoryOf = (store: SimulatorStore): Inventory => ({
  hosts: store.hostIds().map((hostId) => {
    const { faultDomain = 'fd-1', vmIds, custodyBelowVsp } = store.host(hostId);
    return {
      hostId,
      faultDomain,
      availabilityGroups: [],
      labels: {},
      vms: [...vmIds],
      custodyBelowVsp,
    };
  }),
});
