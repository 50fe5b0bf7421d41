/** Both ends of a queue make its name here; workflow ids are derived from what a run locks. */
import {
  HOLDFAST_QUEUE,
  fastRestoreId,
  fastSaveId,
  hostQueue,
  serviceHostId,
  vmWorkflowQueue,
} from '../../contract/queues';

it('each host has an activity queue, each host worker a workflow queue, and people have theirs', () => {
  expect([HOLDFAST_QUEUE, hostQueue('host-01'), vmWorkflowQueue('host-worker-1')]).toEqual([
    'holdfast',
    'holdfast-host-host-01',
    'holdfast-vms-host-worker-1',
  ]);
});

it('an id names what the run locks, so that a second run of the same has the same one', () => {
  expect([
    serviceHostId('host-01'),
    fastSaveId('host-01', 'vm-01'),
    fastRestoreId('host-01', 'vm-01'),
  ]).toEqual(['service-host/host-01', 'fast-save/host-01/vm-01', 'fast-restore/host-01/vm-01']);
});
