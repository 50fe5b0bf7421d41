/** `npm run fork` on a server: what it refuses. */
import { HOLDFAST_QUEUE, fastRestoreId, serviceHostId } from '../../contract/queues';
import { once } from '../support/once';
import { Suite, ending } from '../support/suite';
import { ForkScript, LONGEST, runIdOf, vm } from './fork-script';

let suite: Suite;
let script: ForkScript;
beforeAll(async () => {
  suite = await Suite.on({ vms: 2 }, 5);
  script = new ForkScript(suite);
});
afterAll(() => suite.stop());

describe('refuses, and starts nothing', () => {
  const AT = '--at=disableOptimizations';
  const undone = once(async () => {
    const faults = [{ step: 'saveVm', kind: 'fail-before', times: 1000 }];
    const input = { ...vm(suite.freshHost()), blackoutBudget: '4s', faults };
    const run = await suite.start('fastSave', input);
    expect((await ending(run)).type).toBe('SaveUndone');
    return run;
  });
  afterAll(async () => {
    // Not one run was started for any of them.
    const { workflowId } = await undone();
    const id = `${workflowId}/fork-of-${await runIdOf(await undone())}`;
    await expect(suite.stack.client.workflow.getHandle(id).describe()).rejects.toThrow();
  });

  test.concurrent('a workflow, or a run, that is unknown', async () => {
    const { workflowId } = await undone();
    await script.refuses(/There is no workflow "no-such"/, 'no-such', AT);
    const unknown = '01234567-89ab-cdef-0123-456789abcdef';
    await script.refuses(/with run id 01234567/, workflowId, AT, '--run-id', unknown);
  });

  test.concurrent(
    'a step that is none, is of a restore, or was not reached, and lists those that are',
    async () => {
      const { workflowId } = await undone();
      const list =
        /The run took: .*saveSyntheticAdapter, saveVm.* It can be forked at: disableOptimizations, .*, saveVm\./;
      await script.refuses(
        /"saveVM" is no step that a fastSave goes through/,
        workflowId,
        '--at=saveVM',
      );
      await script.refuses(/"powerOnRestore" is no step/, workflowId, '--at=powerOnRestore');
      const notReached = await script.refuses(
        /never came to concludeSave/,
        workflowId,
        '--at=concludeSave',
      );
      expect(notReached).toMatch(list);
      await script.refuses(
        /With these options there is no step saveVirtualFunctionState/,
        workflowId,
        '--at=saveVirtualFunctionState',
        '--set=mode=conventional',
      );
    },
  );

  test.concurrent.each([
    ['mode=fast', /mode: .*modified.*conventional.*got "fast"/],
    ['blackoutBudget=31s', /blackoutBudget: must be a duration.*30s.*got "31s"/],
    ['blackoutBudget=31', /blackoutBudget: must be a duration.*got 31/],
    ['speed=9', /speed/],
    ['vmId=vm-02', /vmId cannot be set: a fork goes on with the same VM/],
    ['adopt={}', /adopt cannot be set/],
    ['mode', /write it as field=value/],
    ['faults=[', /the value is no YAML/],
  ])('the option %s', async (option, message) => {
    await script.refuses(message, (await undone()).workflowId, AT, '--set', option);
  });

  test.concurrent('the mode of a restore, which its record names', async () => {
    const hostId = suite.freshHost();
    await suite.run('fastSave', vm(hostId));
    const faults = [{ step: 'reserveResources', kind: 'stuck', times: 1000 }];
    const wish = { ...vm(hostId), blackoutBudget: LONGEST, faults };
    const old = await suite.start('fastRestore', wish);
    await suite.until(hostId, 'vm-01', 'reserveResources', 'intent');
    await old.terminate('for a test');
    const args = [old.workflowId, '--at=reserveResources', '--set=faults=[]'];
    await script.refuses(
      /a restore obeys the mode that its record names/,
      ...args,
      '--set=mode=modified',
    );
    expect((await script.run(...args)).out).toMatch(/: restored, kept\n$/);
  });

  test.concurrent('a run that never held its VM', async () => {
    const hostId = suite.freshHost();
    const old = await suite.start('fastRestore', vm(hostId));
    expect((await ending(old)).type).toBe('NoRecord');
    await script.refuses(/never held its VM \(failed\)/, old.workflowId, '--at=powerOnRestore');
  });

  test.concurrent('the run of a VM whose servicing run is open and counts on it', async () => {
    const hostId = suite.freshHost();
    const service = await suite.stack.client.workflow.start('serviceHost', {
      workflowId: serviceHostId(hostId),
      taskQueue: HOLDFAST_QUEUE,
      args: [
        {
          hostId,
          update: { version: '2.0.0' },
          faults: [{ vmId: 'vm-01', step: 'disableOptimizations', kind: 'stuck' }],
        },
      ],
    });
    await suite.until(hostId, 'vm-01', 'disableOptimizations', 'intent');
    await script.refuses(
      new RegExp(
        `is part of service-host/${hostId} \\(run [0-9a-f-]+\\), which is open and counts on its VMs`,
      ),
      fastRestoreId(hostId, 'vm-01'),
      '--at=reserveResources',
      '--from-open',
    );
    await script.refuses(
      new RegExp(`Still open are .*fast-save/${hostId}`),
      service.workflowId,
      '--at=stageUpdate',
    );
    // The attempt that is stuck sees itself overtaken, and the next one is not.
    suite.stack.store.update(hostId, 'vm-01', (o) => {
      o.vm.mailbox = null;
    });
    await service.result();
    await script.refuses(
      /All of these have ended well, so there is nothing to go on with: start a new serviceHost/,
      service.workflowId,
      '--at=stageUpdate',
    );
    await script.expectUnharmed(hostId);
  });

  test.concurrent('a fleet', async () => {
    const hostId = suite.freshHost();
    const fleet = await suite.start('updateFleet', {
      update: { version: '2.0.0' },
      hosts: [hostId],
      dryRun: true,
    });
    await fleet.result();
    await script.refuses(/--retry-failed/, fleet.workflowId, '--at=preflight');
  });
});
