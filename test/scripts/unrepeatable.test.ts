/** What the journal of a recorded run says that acting it out cannot repeat. */
import type { JournalEntry } from '../../contract/host';
import { Unrepeatable } from '../../scripts/re-enact/unrepeatable';

const entry = (kind: JournalEntry['kind'], more: Partial<JournalEntry> = {}): JournalEntry => ({
  ...{ seq: 1, hostTimeMs: 1, vmId: 'vm-01', step: 'saveVm', generation: 1, kind },
  ...{ command: null, status: 'begun', detail: null, ...more },
});

function told(...entries: JournalEntry[]): readonly string[] {
  const unrepeatable = new Unrepeatable();
  for (const each of entries) unrepeatable.see(each);
  return unrepeatable.told();
}

it('an attempt that another one follows without its having ended', () => {
  expect(told(entry('intent'), entry('intent'))).toEqual([
    'An attempt of saveVm of vm-01 ended without an answer, as when its process is killed.',
  ]);
});

it('not one that failed, that a fault kept from answering, or that is of another VM or generation', () => {
  expect(told(entry('intent'), entry('failed'), entry('intent'), entry('result'))).toEqual([]);
  expect(told(entry('intent', { detail: 'fault fail-after' }), entry('intent'))).toEqual([]);
  expect(told(entry('intent'), entry('intent', { vmId: 'vm-02' }))).toEqual([]);
  expect(told(entry('intent'), entry('intent', { generation: 2 }))).toEqual([]);
});

it('a command of somebody else, and a dead-man that took the VM, each said once', () => {
  const foreign = entry('command', { step: 'foreign', command: 'StopVm', status: 'forbidden' });
  const deadMan = entry('result', { step: 'takeForDeadMan' });
  expect(told(foreign, deadMan, foreign)).toEqual([
    'Somebody else issued StopVm to vm-01 (forbidden).',
    'The host’s dead-man brought vm-01 back, whose deadline had passed.',
  ]);
});
