import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildWorkflowBundle } from '../../scripts/workflow-bundle';
import { startDevServer } from '../../tools/temporal/dev-server';

/** Fleets of a size that tests can afford are to go on in another history too. */
const LONG_HISTORY = { 'limit.historyCount.suggestContinueAsNew': 300 };

/** One dev server and one workflow bundle for the whole suite; each test file has a namespace of its own. */
export default async function globalSetup(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-test-'));
  const [server, bundle] = await Promise.all([
    startDevServer({
      onProgress: (line) => process.stderr.write(`${line}\n`),
      dynamicConfig: LONG_HISTORY,
    }),
    buildWorkflowBundle(join(directory, 'workflow-bundle.js')),
  ]);
  process.env['HOLDFAST_TEST_ADDRESS'] = server.address;
  process.env['HOLDFAST_TEST_UI'] = server.uiUrl;
  process.env['HOLDFAST_TEST_SERVER_PID'] = String(server.pid);
  process.env['HOLDFAST_TEST_BUNDLE'] = bundle;
  process.env['HOLDFAST_TEST_DIRECTORY'] = directory;
  globalThis.holdfastTestServer = server;
}
