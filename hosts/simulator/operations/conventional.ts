import {
  EJECT_GRACE_MS,
  guestBindsVf,
  guestKnowsVf,
  guestLosesVf,
  guestOfferedVf,
  guestSwitchesToVf,
} from '../devices/guest';
import {
  DEFAULT_VPORT,
  allocateVf,
  createVPort as createVPortOnSwitch,
  deleteVPort as deleteVPortOnSwitch,
  freeVf,
  moveFilter,
  resetVf,
  vfOf,
} from '../devices/network-adapter';
import * as adapter from '../devices/synthetic-network-adapter';
import { unassignDevice } from '../devices/vpci-vsp';
import { refused } from '../legal-moves';
import { isNextToPrepare, isNotedQuiet, markQuiet } from '../servicing';
import type { Objects } from '../state';
import type { StepOperation } from './operation';

const vf = (o: Objects) => vfOf(o.pf, o.vm.vmId);
const noVf = (o: Objects) => (vf(o) === undefined ? 'the VM has no VF' : undefined);

function neededVf(o: Objects) {
  const found = vf(o);
  if (found === undefined) throw refused(`${o.vm.vmId} has no VF.`);
  return found;
}

/**
 * The guest is asked to eject and has 60 s; then the VF is taken away under it. Traffic fails over to the synthetic
 * adapter, and the VSP unassigns the device.
 */
export const ejectVirtualFunction: StepOperation = {
  ownLatency: true,
  mayBegin: isNextToPrepare,
  notApplicable: (o) => (o.vm.vpci.device === null ? 'no VF device is assigned' : undefined),
  inPlace: ({ vm }) => vm.vpci.device === null,
  effect: async (c) => {
    c.run('VDEV.StartDisableOptimizations', ({ vm }) => {
      if (vm.adapter.optimizations === 'enabled') adapter.startDisableOptimizations(vm.adapter);
    });
    c.run('VPCI.Eject', () => undefined);
    const graceMs = EJECT_GRACE_MS * c.timeScale;
    await c.sleep(Math.min(c.latencyMs, graceMs));
    const kind = c.latencyMs > graceMs ? 'surpriseRemoval' : 'eject';
    c.run(kind === 'eject' ? 'VPCI.EjectComplete' : 'VMBus.RescindOffer', ({ vm, nowMs }) => {
      if (guestKnowsVf(vm.guest)) guestLosesVf(vm.guest, kind, nowMs);
    });
    c.run('VPCI.UnassignDevice', ({ vm }) => {
      unassignDevice(vm.vpci);
      adapter.markUnassigned(vm.adapter);
      vm.path = 'synthetic-only';
      vm.pathReason = 'conventional save: the VF was given back';
    });
    return { kind };
  },
};

export const moveFiltersToDefaultVPort: StepOperation = {
  usesPf: true,
  notApplicable: noVf,
  inPlace: (o) =>
    o.pf.filters.every((f) => f.macAddress !== vf(o)?.macAddress || f.vportId === DEFAULT_VPORT),
  effect: (c) => {
    c.run('OID_RECEIVE_FILTER_MOVE_FILTER', (o) => {
      moveFilter(o.pf, neededVf(o).macAddress, DEFAULT_VPORT);
    });
    return {};
  },
};

export const deleteVPort: StepOperation = {
  usesPf: true,
  notApplicable: noVf,
  inPlace: (o) => o.pf.vports.every((p) => p.vfId !== vf(o)?.vfId),
  effect: (c) => {
    c.run('OID_NIC_SWITCH_DELETE_VPORT', (o) => {
      deleteVPortOnSwitch(o.pf, neededVf(o).vfId);
    });
    return {};
  },
};

export const resetVirtualFunction: StepOperation = {
  usesPf: true,
  notApplicable: noVf,
  inPlace: (o) => vf(o)?.ring.active !== true,
  effect: (c) => {
    c.run('OID_SRIOV_RESET_VF', (o) => {
      resetVf(o.pf, neededVf(o).vfId, o.nowMs);
    });
    return {};
  },
};

export const freeVirtualFunction: StepOperation = {
  usesPf: true,
  inPlace: (o) =>
    vf(o) === undefined && o.vm.adapter.optimizations === 'disabled' && isNotedQuiet(o),
  effect: (c) => {
    c.run('OID_NIC_SWITCH_FREE_VF', (o) => {
      const found = vf(o);
      if (found !== undefined) freeVf(o.pf, found.vfId);
    });
    c.run('VDEV.FinishDisableOptimizations', ({ host, vm }) => {
      if (vm.adapter.optimizations === 'enabled') adapter.startDisableOptimizations(vm.adapter);
      if (vm.adapter.optimizations === 'disabling') adapter.finishDisableOptimizations(vm.adapter);
      markQuiet(host, vm.vmId);
    });
    return {};
  },
};

export const allocateVirtualFunction: StepOperation = {
  usesPf: true,
  inPlace: (o) => vf(o) !== undefined,
  effect: (c) =>
    c.run('OID_NIC_SWITCH_ALLOCATE_VF', (o) => {
      const mac = o.vm.macAddress;
      const allocated = allocateVf(o.pf, o.vm.vmId, mac, o.nowMs);
      return { vfId: allocated.vfId, rid: allocated.rid };
    }),
};

export const createVPort: StepOperation = {
  usesPf: true,
  inPlace: (o) => o.pf.vports.some((p) => p.vfId === vf(o)?.vfId),
  effect: (c) =>
    c.run('OID_NIC_SWITCH_CREATE_VPORT', (o) => ({
      vportId: createVPortOnSwitch(o.pf, neededVf(o).vfId).vportId,
    })),
};

const vportOf = (o: Objects) => o.pf.vports.find((p) => p.vfId === vf(o)?.vfId);

export const moveFiltersToVirtualFunction: StepOperation = {
  usesPf: true,
  inPlace: (o) => {
    const vport = vportOf(o);
    return (
      vport !== undefined &&
      o.pf.filters.some((f) => f.macAddress === o.vm.macAddress && f.vportId === vport.vportId)
    );
  },
  effect: (c) => {
    c.run('OID_RECEIVE_FILTER_MOVE_FILTER', (o) => {
      const vport = vportOf(o);
      if (vport === undefined) throw refused(`The VF of ${o.vm.vmId} has no VPort.`);
      moveFilter(o.pf, o.vm.macAddress, vport.vportId);
    });
    return {};
  },
};

/** The VMBus offer: the second thing that the guest sees. */
export const offerVirtualFunction: StepOperation = {
  inPlace: ({ vm }) => vm.guest.events.at(-1)?.kind === 'offer',
  effect: (c) => {
    c.run('VMBus.Offer', ({ vm, nowMs }) => {
      if (vm.vpci.interface.state !== 'active')
        throw refused('A VF device that is not connected cannot be offered.');
      guestOfferedVf(vm.guest, nowMs);
    });
    return {};
  },
};

/** hv_pci: version, relations, D0 entry, resources; then the VF driver's own probe. */
export const probeVirtualFunction: StepOperation = {
  inPlace: ({ vm }) => vm.guest.vfDriverBound,
  effect: (c) => {
    for (const message of [
      'QUERY_PROTOCOL_VERSION',
      'QUERY_BUS_RELATIONS',
      'D0_ENTRY',
      'RESOURCES_ASSIGNED',
    ]) {
      c.run(`VPCI.${message}`, () => undefined);
    }
    c.run('Guest.BindVfDriver', (o) => {
      guestBindsVf(o.vm.guest, neededVf(o), o.nowMs);
    });
    return {};
  },
};

export const switchDataPath: StepOperation = {
  inPlace: ({ vm }) => vm.guest.dataPath === 'vf',
  effect: (c) =>
    c.run('NVSP.SwitchDataPath', (o) => {
      guestSwitchesToVf(o.vm.guest, neededVf(o), o.nowMs);
      if (o.vm.path === 'synthetic-only') o.vm.path = 'reattached';
      return { vfOutageMs: o.vm.guest.vfOutageMs };
    }),
};
