/** What runs elsewhere is killed with SIGKILL at ten seeded instants of a blackout. */
import { Instants } from './instants';

let instants: Instants;
beforeAll(async () => {
  instants = await Instants.start('instants-of-servers');
});
afterAll(() => instants.stop());

test('orchestrator and host worker', () =>
  instants.expectNothingLost('2.0.0', () => instants.kill('orchestrator', 'host')));

test('the server', () => instants.expectNothingLost('3.0.0', () => instants.killServer()));
