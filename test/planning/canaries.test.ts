/** Who goes first where VMs are updated one by one, and whether the others may follow (host-model.md, section 11). */
import type { VmDescription } from '../../contract/host';
import type { VmVerdict } from '../../contract/results';
import { canaryFailure, classesOf } from '../../planning/canaries';
import { factsWith, vmWith } from './descriptions';

const verdict = (vmId: string, is: VmVerdict['verdict'] = 'keep'): VmVerdict => ({
  ...{ vmId, verdict: is, reason: '' },
});
const nic = 'network of pf-0';
const vms = [
  { vmId: 'a', adapterClass: nic },
  { vmId: 'b', adapterClass: nic },
  { vmId: 'c', adapterClass: 'nvme of nvme-pf-0' },
  { vmId: 'd', adapterClass: nic },
];

it('VMs are of one class if their adapters are, and if they are served in one mode', () => {
  const all = vms.map(({ vmId }) => verdict(vmId));
  expect(classesOf(vms, all)).toEqual([
    { mode: 'modified', vmIds: ['a', 'b', 'd'] },
    { mode: 'modified', vmIds: ['c'] },
  ]);
  const mixed = [verdict('a'), verdict('b'), verdict('c'), verdict('d', 'conventional')];
  expect(classesOf(vms, mixed)).toEqual([
    { mode: 'modified', vmIds: ['a', 'b'] },
    { mode: 'modified', vmIds: ['c'] },
    { mode: 'conventional', vmIds: ['d'] },
  ]);
});

it('VMs that are not served are of none', () => {
  const all = [verdict('a', 'there'), verdict('b', 'migrate'), verdict('c', 'blocked')];
  expect(classesOf(vms, all)).toEqual([]);
});

describe('a canary', () => {
  const identity = {
    ...{ vfId: 1, luid: '0x1', rid: '3b:02.1', serialNumber: 1 },
    ...{ macAddress: '00:15:5d:00:00:01', instanceGuid: 'guid' },
  };
  const vitals = (at: number) => ({
    ...{ packets: at, interrupts: at, diskOperations: at, clockLagMs: 0 },
  });
  const before = vmWith({ identity, vitals: vitals(10) });
  const back = vmWith({ identity, stackVersion: '2.0.0', vitals: vitals(20) });
  const after = (
    baked: Partial<VmDescription> = {},
    mode: 'modified' | 'conventional' = 'modified',
  ) =>
    canaryFailure({
      ...{ before, back, version: '2.0.0', mode },
      baked: { ...back, vitals: vitals(30), ...baked },
    });

  it('that runs the new version, with its VF, and goes on is one to follow', () => {
    expect(after()).toBeNull();
  });

  it.each<[string, Partial<VmDescription>, RegExp]>([
    ['does not run', { phase: 'stranded' }, /^vm-01, a canary, is stranded$/],
    ['runs the old version', { stackVersion: '1.0.0' }, /runs 1\.0\.0, not 2\.0\.0/],
    ['answers no heartbeat', { heartbeat: 'lost' }, /answers no heartbeat/],
    ['lost its data path', { dataPath: 'synthetic' }, /has the data path synthetic, not vf/],
    ['has another VF', { identity: { ...identity, vfId: 2 } }, /has another VF than before/],
    ['has none', { identity: null }, /has another VF than before/],
    [
      'got a VF anew',
      { facts: factsWith({ path: 'reattached' }) },
      /did not keep its VF: reattached/,
    ],
    ['lost its second VF', { facts: factsWith({ path: 'synthetic-only' }) }, /synthetic-only/],
    ['was started cold', { facts: factsWith({ path: 'restarted' }) }, /restarted/],
    ['is not heard at all', { heartbeat: 'none' }, /answers no heartbeat/],
    ['has a late clock', { vitals: { ...vitals(30), clockLagMs: 1_001 } }, /clock that is 1001 ms/],
    ['went back', { vitals: { ...vitals(30), packets: 19 } }, /its packets went from 20 to 19/],
    [
      'has no interrupts',
      { vitals: { ...vitals(30), interrupts: 20 } },
      /its interrupts went from/,
    ],
    ['has no disk', { vitals: { ...vitals(30), diskOperations: 20 } }, /its disk operations went/],
  ])('that %s is not', (_, baked, says) => {
    expect(after(baked)).toMatch(says);
  });

  it('may get no packets for a while, and lag as much as is allowed', () => {
    expect(after({ vitals: { ...vitals(30), packets: 20, clockLagMs: 1_000 } })).toBeNull();
  });

  it('has its VF anew by the conventional way, and is looked at in all else', () => {
    const facts = factsWith({ path: 'reattached' });
    const anew = { identity: { ...identity, vfId: 2 }, facts };
    expect(after(anew, 'conventional')).toBeNull();
    expect(
      after({ ...anew, vitals: { ...vitals(30), diskOperations: 20 } }, 'conventional'),
    ).toMatch(/disk/);
    const lost = { facts: factsWith({ path: 'synthetic-only' }) };
    expect(after(lost, 'conventional')).toMatch(/did not keep its VF/);
  });

  it('of a driver that cannot say what goes on in it is judged by the rest', () => {
    const { vitals: _, ...silent } = back;
    expect(
      canaryFailure({ before, back, baked: silent, version: '2.0.0', mode: 'modified' }),
    ).toBeNull();
  });
});
