import { ServiceError, isGrpcCancelledError, isGrpcDeadlineError } from '@temporalio/client';
import { Suite, type OwnStack } from '../support/suite';
import { ScriptedFleets } from './scripted-fleets';
import { fleetFiles } from './update-fleet-script';

/** As long as the script waits for an answer. */
const ANSWERS_WITHIN_MS = 5_000;

const file = fleetFiles();
let suite: Suite<OwnStack>;
beforeAll(async () => {
  suite = await Suite.start('update-fleet-away', { hosts: 2, vms: 2 });
});
afterAll(() => suite.stop());

test('an orchestrator that is away for longer than it is waited for does not end the following', async () => {
  const fleets = new ScriptedFleets(suite, file);
  const [held = '', next = ''] = suite.freshHosts(2);
  const path = fleets.fleetOf('away', [held, next], fleets.held(held));
  const first = fleets.process('--fleet', path, '--yes', '--watch');
  await fleets.said(first, `${held}: servicing`);
  const orchestrator = suite.stack.pid('orchestrator');
  process.kill(orchestrator, 'SIGSTOP');
  try {
    // Who waits as long as the script is not answered either; twice, so that a look of its own lies between.
    for (let looks = 0; looks < 2; looks += 1) expect(await isAskedInVain()).toBe(true);
    expect(first.child.exitCode).toBeNull();
  } finally {
    process.kill(orchestrator, 'SIGCONT');
  }
  await fleets.letGo(held);
  expect((await first.ended).code).toBe(0);
});

async function isAskedInVain(): Promise<boolean> {
  const { client } = suite.stack;
  try {
    await client.withDeadline(Date.now() + ANSWERS_WITHIN_MS, () =>
      client.workflow.getHandle('update-fleet/away').query('progress'),
    );
    return false;
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    // The server may hear of the deadline before we do.
    if (isGrpcDeadlineError(error.cause) || isGrpcCancelledError(error.cause)) return true;
    throw error;
  }
}
