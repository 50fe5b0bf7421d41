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
  FUNCTION_COMMANDS,
  allocateVf,
  createVPort as createVPortOnSwitch,
  deleteVPort as deleteVPortOnSwitch,
  freeVf,
  moveFilter,
  resetVf,
  vfOf,
} from '../devices/physical-function';
import * as vdev from '../devices/synthetic-network-adapter';
import { unassignDevice } from '../devices/vpci-vsp';
import { refused } from '../../engine/refused';
import { isNextToPrepare, isNotedQuiet, markQuiet } from '../../engine/gates';
import type { AdapterObjects } from '../state';
import { ofEachAdapter } from './each-adapter';
import type { StepOperation } from './operation';
import { usesVf } from './restore';
import { noVfWanted } from './saved-vm';

const noVf = (o: AdapterObjects) => (vfOf(o) === undefined ? 'the VM has no VF' : undefined);
const noSwitch = ({ adapter }: AdapterObjects) =>
  adapter.kind === 'nvme' ? 'NVMe controllers have no switch' : undefined;
const noVfOnSwitch = (o: AdapterObjects) => noSwitch(o) ?? noVf(o);
/** Steps that bring a VF are for adapters that are to have one and have none that the guest uses. */
const needsNoVf = (o: AdapterObjects) => noVfWanted(o) ?? usesVf(o);
const needsNoVfOnSwitch = (o: AdapterObjects) => noSwitch(o) ?? needsNoVf(o);

function neededVf(o: AdapterObjects) {
  const found = vfOf(o);
  if (found === undefined) throw refused(`${o.vm.vmId} has no VF.`);
  return found;
}

/**
 * The guest is asked to eject and has 60 s; then the VF is taken away under it. Traffic of a NIC fails over to the
 * synthetic adapter, and the VSP unassigns the device.
 */
export const ejectVirtualFunction: StepOperation<'ejectVirtualFunction'> = {
  ...ofEachAdapter({
    notApplicable: ({ adapter }) =>
      adapter.vpci.device === null ? 'no VF device is assigned' : undefined,
    inPlace: ({ adapter }) => adapter.vpci.device === null,
    effect: async (c) => {
      c.run('VDEV.StartDisableOptimizations', ({ adapter }) => {
        if (adapter.vdev.optimizations === 'enabled') vdev.startDisableOptimizations(adapter.vdev);
      });
      c.run('VPCI.Eject', () => undefined);
      const graceMs = EJECT_GRACE_MS * c.timeScale;
      await c.sleep(Math.min(c.latencyMs, graceMs));
      const kind = c.latencyMs > graceMs ? 'surpriseRemoval' : 'eject';
      const gone = kind === 'eject' ? 'VPCI.EjectComplete' : 'VMBus.RescindOffer';
      c.run(gone, ({ adapter, nowMs }) => {
        if (guestKnowsVf(adapter.guest)) guestLosesVf(adapter.guest, kind, nowMs);
        adapter.path = 'synthetic-only';
        adapter.pathReason = 'conventional save: the VF was given back';
      });
      c.run('VPCI.UnassignDevice', ({ adapter }) => {
        unassignDevice(adapter.vpci);
        vdev.markUnassigned(adapter.vdev);
      });
      return { kind };
    },
  }),
  ownLatency: true,
  waitsAt: 'prepare',
  mayBegin: isNextToPrepare,
};

export const moveFiltersToDefaultVPort: StepOperation<'moveFiltersToDefaultVPort'> = {
  ...ofEachAdapter({
    notApplicable: noVfOnSwitch,
    inPlace: (o) =>
      o.pf.filters.every(
        (f) => f.macAddress !== vfOf(o)?.macAddress || f.vportId === DEFAULT_VPORT,
      ),
    effect: (c) => {
      c.run('OID_RECEIVE_FILTER_MOVE_FILTER', (o) => {
        moveFilter(o.pf, neededVf(o).macAddress, DEFAULT_VPORT);
      });
      return {};
    },
  }),
  usesDevices: true,
};

export const deleteVPort: StepOperation<'deleteVPort'> = {
  ...ofEachAdapter({
    notApplicable: noVfOnSwitch,
    inPlace: (o) => o.pf.vports.every((p) => p.vfId !== vfOf(o)?.vfId),
    effect: (c) => {
      c.run('OID_NIC_SWITCH_DELETE_VPORT', (o) => {
        deleteVPortOnSwitch(o.pf, neededVf(o).vfId);
      });
      return {};
    },
  }),
  usesDevices: true,
};

export const resetVirtualFunction: StepOperation<'resetVirtualFunction'> = {
  ...ofEachAdapter({
    notApplicable: noVf,
    inPlace: (o) => vfOf(o)?.ring.active !== true,
    effect: (c) => {
      c.run(FUNCTION_COMMANDS[c.kind].reset, (o) => {
        resetVf(o.pf, neededVf(o).vfId, o.nowMs);
      });
      return {};
    },
  }),
  usesDevices: true,
};

const freeAdapter = ofEachAdapter({
  inPlace: (o) => vfOf(o) === undefined && o.adapter.vdev.optimizations === 'disabled',
  effect: (c) => {
    c.run(FUNCTION_COMMANDS[c.kind].free, (o) => {
      const found = vfOf(o);
      if (found !== undefined) freeVf(o.pf, found.vfId);
    });
    c.run('VDEV.FinishDisableOptimizations', ({ adapter: { vdev: device } }) => {
      if (device.optimizations === 'enabled') vdev.startDisableOptimizations(device);
      if (device.optimizations === 'disabling') vdev.finishDisableOptimizations(device);
    });
    return {};
  },
});

export const freeVirtualFunction: StepOperation<'freeVirtualFunction'> = {
  usesDevices: true,
  inPlace: (o, generation) => freeAdapter.inPlace(o, generation) && isNotedQuiet(o),
  effect: async (c) => {
    const evidence = await freeAdapter.effect(c);
    c.run('Servicing.MarkQuiet', ({ host, vm }) => {
      markQuiet(host, vm.vmId);
    });
    return evidence;
  },
};

export const allocateVirtualFunction: StepOperation<'allocateVirtualFunction'> = {
  ...ofEachAdapter({
    notApplicable: needsNoVf,
    inPlace: (o) => vfOf(o) !== undefined,
    effect: (c) =>
      c.run(FUNCTION_COMMANDS[c.kind].allocate, (o) => {
        const { vfId, rid } = allocateVf(o.pf, o, o.adapter.macAddress, o.nowMs);
        return { vfId, rid };
      }),
  }),
  usesDevices: true,
};

export const createVPort: StepOperation<'createVPort'> = {
  ...ofEachAdapter({
    notApplicable: needsNoVfOnSwitch,
    inPlace: (o) => o.pf.vports.some((p) => p.vfId === vfOf(o)?.vfId),
    effect: (c) =>
      c.run('OID_NIC_SWITCH_CREATE_VPORT', (o) => ({
        vportId: createVPortOnSwitch(o.pf, neededVf(o).vfId).vportId,
      })),
  }),
  usesDevices: true,
};

const vportOf = (o: AdapterObjects) => o.pf.vports.find((p) => p.vfId === vfOf(o)?.vfId);

export const moveFiltersToVirtualFunction: StepOperation<'moveFiltersToVirtualFunction'> = {
  ...ofEachAdapter({
    notApplicable: needsNoVfOnSwitch,
    inPlace: (o) => {
      const vport = vportOf(o);
      const { macAddress } = o.adapter;
      return (
        vport !== undefined &&
        o.pf.filters.some((f) => f.macAddress === macAddress && f.vportId === vport.vportId)
      );
    },
    effect: (c) => {
      c.run('OID_RECEIVE_FILTER_MOVE_FILTER', (o) => {
        const vport = vportOf(o);
        if (vport === undefined) throw refused(`The VF of ${o.vm.vmId} has no VPort.`);
        moveFilter(o.pf, o.adapter.macAddress, vport.vportId);
      });
      return {};
    },
  }),
  usesDevices: true,
};

/** The VMBus offer: the second thing that the guest sees. */
export const offerVirtualFunction = ofEachAdapter({
  notApplicable: needsNoVf,
  inPlace: ({ adapter }) => adapter.guest.events.at(-1)?.kind === 'offer',
  effect: (c) => {
    c.run('VMBus.Offer', ({ adapter, nowMs }) => {
      if (adapter.vpci.interface.state !== 'active')
        throw refused('A VF device that is not connected cannot be offered.');
      guestOfferedVf(adapter.guest, nowMs);
    });
    return {};
  },
});

/** hv_pci: version, relations, D0 entry, resources; then the VF driver's own probe. */
export const probeVirtualFunction = ofEachAdapter({
  notApplicable: needsNoVf,
  inPlace: ({ adapter }) => adapter.guest.vfDriverBound,
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
      guestBindsVf(o.adapter.guest, neededVf(o), o.nowMs);
    });
    return {};
  },
});

/** NetVSP moves a NIC's traffic; an NVMe driver begins to use its controller. */
export const switchDataPath = ofEachAdapter({
  notApplicable: noVfWanted,
  inPlace: ({ adapter }) => adapter.guest.dataPath === 'vf',
  effect: (c) =>
    c.run(c.kind === 'network' ? 'NVSP.SwitchDataPath' : 'Guest.EnableController', (o) => {
      const { adapter } = o;
      guestSwitchesToVf(adapter.guest, neededVf(o), o.nowMs);
      if (adapter.path === 'synthetic-only') adapter.path = 'reattached';
      return { vfOutageMs: adapter.guest.vfOutageMs };
    }),
});
