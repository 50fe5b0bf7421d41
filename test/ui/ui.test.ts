import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { chromium, type Browser, type Page } from 'playwright-core';
import type { ServiceHostResult } from '../../contract/results';
import { HOLDFAST_QUEUE } from '../../contract/queues';
import { Suite, required } from '../support/suite';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  (path) => existsSync(path),
);

// CI installs a browser; on a machine without one this is said, not hidden.
const withBrowser =
  CHROMIUM === undefined && process.env['CI'] === undefined ? describe.skip : describe;
if (CHROMIUM === undefined)
  process.stderr.write(
    'No Chromium found: the tests of the web UI need one (apt-get install chromium).\n',
  );

withBrowser('the Temporal UI as the front door', () => {
  let suite: Suite;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    suite = await Suite.start('ui', { hosts: 2 });
    browser = await chromium.launch({
      executablePath: CHROMIUM ?? 'chromium',
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    });
    page = await browser.newPage({ viewport: { width: 1400, height: 1100 } });
  });
  afterAll(async () => {
    await browser.close();
    await suite.stop();
  });

  const ui = (path: string) => `${required('HOLDFAST_TEST_UI')}/namespaces/ui/${path}`;

  /** Pictures for people, where HOLDFAST_SCREENSHOTS says. */
  const picture = async (name: string) => {
    const directory = process.env['HOLDFAST_SCREENSHOTS'];
    if (directory === undefined) return;
    mkdirSync(directory, { recursive: true });
    await page.screenshot({ path: join(directory, `${name}.png`) });
  };

  async function startFromForm(
    workflowType: string,
    workflowId: string,
    input: object,
  ): Promise<void> {
    await page.goto(
      ui(`workflows/start-workflow?workflowType=${workflowType}&taskQueue=${HOLDFAST_QUEUE}`),
    );
    await page.getByLabel('Workflow ID').fill(workflowId);
    const editor = page.locator('.cm-content').first();
    await editor.click();
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.insertText(JSON.stringify(input));
    // The editor reformats its text when it loses the focus, and the button moves: first the one, then the other.
    await page.getByLabel('Workflow ID').click();
    await picture(`form-${workflowType}`);
    await page.getByTestId('start-workflow-button').click();
    await page.getByText('Workflow started', { exact: false }).first().waitFor();
  }

  test('a person starts a servicing run from the form with the smallest input and sees it end', async () => {
    const input = { hostId: 'host-01', update: { version: '2.0.0' } };
    await startFromForm('serviceHost', 'from-the-ui', input);
    const result = (await suite.stack.client.workflow
      .getHandle('from-the-ui')
      .result()) as ServiceHostResult;
    expect(result.outcome).toBe('updated');
    await page.goto(ui('workflows/from-the-ui'));
    await page.getByText('Completed').first().waitFor();
    await picture('history');
    await page.getByText('User Metadata').first().click();
    // The UI shows Markdown in a frame of its own.
    await page.frameLocator('iframe').first().getByText('VF outage ms').waitFor();
    await picture('details');
  });

  test('the runs are found by host and outcome, although they were started in the UI', async () => {
    const query = encodeURIComponent('`HostId`="host-01" AND `Outcome`="updated"');
    await page.goto(ui(`workflows?query=${query}`));
    await page.getByText('from-the-ui').first().waitFor();
    await picture('list');
  });

  test('a person starts a fleet update from the form and finds it by what it waits for', async () => {
    await startFromForm('updateFleet', 'fleet-from-the-ui', {
      update: { version: '3.0.0' },
      hosts: ['host-01', 'host-02'],
      strategy: { approval: 'after-canary', bakeTime: { giveUpAfter: '0s' } },
    });
    const { workflow } = suite.stack.client;
    const waiting = '`WaitingFor`="approval"';
    while ((await workflow.count(waiting)).count === 0) await delay(100);
    await page.goto(ui(`workflows?query=${encodeURIComponent(waiting)}`));
    await page.getByText('fleet-from-the-ui').first().waitFor();
    await page.goto(ui('workflows/fleet-from-the-ui'));
    await page.getByText('User Metadata').first().click();
    await page.frameLocator('iframe').first().getByText('waits for approval').waitFor();
    await picture('fleet-waits');
    const handle = workflow.getHandle('fleet-from-the-ui');
    const approve = { by: 'ada', reason: 'the canary is well', wave: 2 };
    await handle.executeUpdate('approve', { args: [approve] });
    expect(await handle.result()).toMatchObject({ outcome: 'updated', counts: { updated: 2 } });
    await page.goto(ui('workflows/fleet-from-the-ui'));
    await page.getByText('Completed').first().waitFor();
    await picture('fleet-history');
  });

  test('wrong input ends with a failure that names the field', async () => {
    await startFromForm('fastSave', 'wrong-from-the-ui', { hostId: 'host-01', vmid: 'vm-01' });
    await expect(
      suite.stack.client.workflow.getHandle('wrong-from-the-ui').result(),
    ).rejects.toThrow();
    await page.goto(ui('workflows/wrong-from-the-ui'));
    await page.getByText('vmId must be a string', { exact: false }).first().waitFor();
    await picture('invalid-input');
  });
});
