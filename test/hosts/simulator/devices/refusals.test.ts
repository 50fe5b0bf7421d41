/** The devices themselves: each state machine and each OID refuses what its driver document refuses. */
import { HoldfastError } from '../../../../contract/failures';
import * as pfCommands from '../../../../hosts/simulator/devices/physical-function';
import { consumeRecord, startRecord } from '../../../../hosts/simulator/devices/runtime-repository';
import { startNicSave } from '../../../../hosts/simulator/devices/vm-switch';
import {
  assignNewDevice,
  connectDevice,
  createBusInterface,
  resetBusInterface,
  type VpciState,
} from '../../../../hosts/simulator/devices/vpci-vsp';
import { startWorkerProcess } from '../../../../hosts/simulator/devices/vm-worker-process';
import { SimulatedFleet } from '../simulated-fleet';

let fleet: SimulatedFleet;
beforeEach(() => (fleet = new SimulatedFleet()));
afterEach(() => fleet.close());

const refusal = (act: () => unknown) => {
  try {
    act();
  } catch (error) {
    return error instanceof HoldfastError ? error.type : error;
  }
  return 'allowed';
};
const vpci = (state: VpciState['interface']['state']): VpciState => ({
  ...fleet.objects().adapter.vpci,
  interface: { state, madeBy: 1 },
});

it.each([
  ['create', 'none', 'allowed'],
  ['create', 'created', 'Refused'],
  ['create', 'bound', 'Refused'],
  ['create', 'active', 'Refused'],
  ['bind', 'none', 'Refused'],
  ['bind', 'created', 'allowed'],
  ['bind', 'bound', 'Refused'],
  ['bind', 'active', 'Refused'],
  ['connect', 'none', 'Refused'],
  ['connect', 'created', 'Refused'],
  ['connect', 'bound', 'allowed'],
  ['connect', 'active', 'Refused'],
  ['reset', 'none', 'Refused'],
  ['reset', 'created', 'allowed'],
  ['reset', 'bound', 'allowed'],
  ['reset', 'active', 'allowed'],
] as const)('%s on a bus interface that is %s: %s', (verb, state, expected) => {
  const v = vpci(state);
  if (verb === 'bind') v.device = null;
  const verbs = {
    create: () => createBusInterface(v, 2),
    bind: () => assignNewDevice(v, 'vm-01', 0, 'luid'),
    connect: () => connectDevice(v),
    reset: () => resetBusInterface(v),
  };
  expect(refusal(verbs[verb])).toBe(expected);
});

it('a record is consumed once', () => {
  const record = { ...startRecord('modified', 1, '1.0.0'), state: 'claimed' as const };
  expect(refusal(() => consumeRecord(record))).toBe('allowed');
  expect(refusal(() => consumeRecord(record))).toBe('Refused');
});

it('one save of a NIC at a time, and none of a NIC that is not connected', () => {
  const { nic } = fleet.objects().adapter;
  expect(refusal(() => startNicSave(nic))).toBe('allowed');
  expect(refusal(() => startNicSave(nic))).toBe('Refused');
  expect(refusal(() => startNicSave({ ...nic, saving: 'none', state: 'disconnected' }))).toBe(
    'Refused',
  );
});

it('two worker processes of one VM cannot run', () => {
  const { workerProcess } = fleet.objects().vm;
  const next = { ...workerProcess, number: 9, state: 'prepared' as const };
  expect(refusal(() => startWorkerProcess(next, workerProcess))).toBe('Refused');
  expect(refusal(() => startWorkerProcess(next, { ...workerProcess, state: 'exited' }))).toBe(
    'allowed',
  );
});

it.each([
  ['free an unknown VF', () => pfCommands.freeVf(fleet.objects().pf, 77)],
  ['free a VF with a VPort', () => pfCommands.freeVf(fleet.objects().pf, 0)],
  ['reset an unknown VF', () => pfCommands.resetVf(fleet.objects().pf, 77, 0)],
  ['give a VF a second VPort', () => pfCommands.createVPort(fleet.objects().pf, 0)],
  [
    'move a filter to a VPort that does not exist',
    () => pfCommands.moveFilter(fleet.objects().pf, fleet.objects().adapter.macAddress, 77),
  ],
  [
    'allocate a second VF for one adapter',
    () => pfCommands.allocateVf(fleet.objects().pf, fleet.objects(), 'mac', 0),
  ],
])('the PF refuses to %s with NDIS_STATUS_INVALID_PARAMETER', (_, act) => {
  expect(act).toThrow(/NDIS_STATUS_INVALID_PARAMETER/);
});
