import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium, type Browser, type FrameLocator, type Page } from 'playwright-core';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  (path) => existsSync(path),
);

// CI installs a browser; on a machine without one this is said, not hidden.
export const withBrowser =
  CHROMIUM === undefined && process.env['CI'] === undefined ? describe.skip : describe;
if (CHROMIUM === undefined)
  process.stderr.write(
    'No Chromium found: the tests of the web UI need one (apt-get install chromium).\n',
  );

const WIDE = { width: 1400, height: 1100 };

/** A person's browser with the Temporal UI in it. */
export class TemporalUi {
  private constructor(
    private readonly browser: Browser,
    readonly page: Page,
  ) {}

  static async open(): Promise<TemporalUi> {
    const browser = await chromium.launch({
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
    return new TemporalUi(browser, await browser.newPage({ viewport: WIDE }));
  }

  async close(): Promise<void> {
    await this.browser.close();
  }

  /** Pictures for people, where HOLDFAST_SCREENSHOTS says. */
  async picture(name: string): Promise<void> {
    const directory = process.env['HOLDFAST_SCREENSHOTS'];
    if (directory === undefined) return;
    mkdirSync(directory, { recursive: true });
    await this.page.screenshot({ path: join(directory, `${name}.png`) });
  }

  /** The same page as a narrow window shows it. */
  async narrowPicture(name: string): Promise<void> {
    await this.page.setViewportSize({ width: 800, height: 1600 });
    await this.picture(name);
    await this.page.setViewportSize(WIDE);
  }

  /** Starts a workflow from its form; without `input`, with what the form is filled with, which it answers. */
  async startFromForm(link: string, workflowId: string, input?: object): Promise<string> {
    const { page } = this;
    await page.goto(link);
    await page.getByLabel('Workflow ID').fill(workflowId);
    const editor = page.locator('.cm-content').first();
    if (input === undefined) {
      await editor
        .getByText(/hostId|functionId/)
        .first()
        .waitFor();
    } else {
      await editor.click();
      await page.keyboard.press('ControlOrMeta+a');
      await page.keyboard.insertText(JSON.stringify(input));
    }
    // The editor reformats its text when it loses the focus, and the button moves: first the one, then the other.
    await page.getByLabel('Workflow ID').click();
    const text = await editor.innerText();
    await this.picture(`form-${workflowId}`);
    await page.getByTestId('start-workflow-button').click();
    await page.getByText('Workflow started', { exact: false }).first().waitFor();
    return text;
  }

  /** Opens the page of a run and watches it there until it has ended so. */
  async watch(run: string, status: 'Completed' | 'Failed'): Promise<void> {
    await this.page.goto(run);
    await this.page
      .getByTestId('workflow-status')
      .getByText(status, { exact: true })
      .waitFor({ timeout: 60_000 });
  }

  /** The current details of the run whose page is open. The UI shows Markdown in frames, and these in the last one. */
  async details(): Promise<FrameLocator> {
    await this.page.getByText('User Metadata').first().click();
    return this.page.frameLocator('iframe').last();
  }

  /** Downloads the history of the run whose page is open, in the form that replays. */
  async download(path: string): Promise<void> {
    const { page } = this;
    await page.getByRole('button', { name: 'Download' }).first().click();
    await page.getByText('Encoded', { exact: true }).click();
    const downloading = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Download' }).last().click();
    await (await downloading).saveAs(path);
  }
}
