/** Both ends of a queue make its name here; workflow ids are derived from what a run locks. */
import {
  HOLDFAST_QUEUE,
  fastRestoreId,
  fastSaveId,
  hostControlQueue,
  hostQueue,
  serviceHostId,
} from '../../contract/queues';

it('each host has a queue for steps and one for the calls around them, and all workflows have one', () => {
  expect([HOLDFAST_QUEUE, hostQueue('host-01'), hostControlQueue('host-01')]).toEqual([
    'holdfast',
    'holdfast-host-host-01',
    'holdfast-host-host-01-control',
  ]);
});

it('an id names what the run locks, so that a second run of the same has the same one', () => {
  expect([
    serviceHostId('host-01'),
    fastSaveId('host-01', 'vm-01'),
    fastRestoreId('host-01', 'vm-01'),
  ]).toEqual(['service-host/host-01', 'fast-save/host-01/vm-01', 'fast-restore/host-01/vm-01']);
});
