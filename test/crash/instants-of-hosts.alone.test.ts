/** What runs on a host is killed with SIGKILL at ten seeded instants of a blackout. */
import { Instants } from './instants';

let instants: Instants;
beforeAll(async () => {
  instants = await Instants.start('instants-of-hosts');
});
afterAll(() => instants.stop());

test('the host worker', () => instants.expectNothingLost('2.0.0', () => instants.kill('host')));

test('host worker and dead-man', () =>
  instants.expectNothingLost('3.0.0', () => instants.kill('host', 'dead-man')));
