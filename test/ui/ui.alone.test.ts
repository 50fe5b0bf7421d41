import { setTimeout as delay } from 'node:timers/promises';
import type { ServiceHostResult } from '../../contract/results';
import { HOLDFAST_QUEUE } from '../../contract/queues';
import { required } from '../support/required';
import { Suite } from '../support/suite';
import { TemporalUi, withBrowser } from './temporal-ui';

withBrowser('the Temporal UI as the front door', () => {
  let suite: Suite;
  let ui: TemporalUi;

  beforeAll(async () => {
    suite = await Suite.start('ui', { hosts: 2 });
    ui = await TemporalUi.open();
  });
  afterAll(async () => {
    await ui.close();
    await suite.stop();
  });

  const url = (path: string) => `${required('HOLDFAST_TEST_UI')}/namespaces/ui/${path}`;
  const form = (workflowType: string) =>
    url(`workflows/start-workflow?workflowType=${workflowType}&taskQueue=${HOLDFAST_QUEUE}`);

  test('a person starts a servicing run from the form with the smallest input and sees it end', async () => {
    const input = { hostId: 'host-01', update: { version: '2.0.0' } };
    await ui.startFromForm(form('serviceHost'), 'from-the-ui', input);
    const result = (await suite.stack.client.workflow
      .getHandle('from-the-ui')
      .result()) as ServiceHostResult;
    expect(result.outcome).toBe('updated');
    await ui.watch(url('workflows/from-the-ui'), 'Completed');
    await ui.picture('history');
    const details = await ui.details();
    await details.getByText('VF outage ms').waitFor();
    await ui.picture('details');
    await details.getByRole('link', { name: 'restore' }).first().waitFor();
  });

  test('the runs are found by host and outcome, although they were started in the UI', async () => {
    const query = encodeURIComponent('`HostId`="host-01" AND `Outcome`="updated"');
    await ui.page.goto(url(`workflows?query=${query}`));
    await ui.page.getByText('from-the-ui').first().waitFor();
    await ui.picture('list');
  });

  test('a person starts a fleet update from the form and finds it by what it waits for', async () => {
    await ui.startFromForm(form('updateFleet'), 'fleet-from-the-ui', {
      update: { version: '3.0.0' },
      hosts: ['host-01', 'host-02'],
      strategy: { approval: 'after-canary', bakeTime: { giveUpAfter: '0s' } },
    });
    const { workflow } = suite.stack.client;
    const waiting = '`WaitingFor`="approval"';
    while ((await workflow.count(waiting)).count === 0) await delay(100);
    await ui.page.goto(url(`workflows?query=${encodeURIComponent(waiting)}`));
    await ui.page.getByText('fleet-from-the-ui').first().waitFor();
    await ui.page.goto(url('workflows/fleet-from-the-ui'));
    await (await ui.details()).getByText('waits for approval').waitFor();
    await ui.picture('fleet-waits');
    const handle = workflow.getHandle('fleet-from-the-ui');
    const approve = { by: 'ada', reason: 'the canary is well', wave: 2 };
    await handle.executeUpdate('approve', { args: [approve] });
    expect(await handle.result()).toMatchObject({ outcome: 'updated', counts: { updated: 2 } });
    await ui.watch(url('workflows/fleet-from-the-ui'), 'Completed');
    await ui.picture('fleet-history');
  });

  test('wrong input ends with a failure that names the field', async () => {
    await ui.startFromForm(form('fastSave'), 'wrong-from-the-ui', {
      hostId: 'host-01',
      vmid: 'vm-01',
    });
    await expect(
      suite.stack.client.workflow.getHandle('wrong-from-the-ui').result(),
    ).rejects.toThrow();
    await ui.page.goto(url('workflows/wrong-from-the-ui'));
    await ui.page.getByText('vmId must be a string', { exact: false }).first().waitFor();
    await ui.picture('invalid-input');
  });
});
