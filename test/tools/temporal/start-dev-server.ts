/** Started as a process by tests: starts a dev server, prints its pid, and stays. */
import { startDevServer } from '../../../tools/temporal/dev-server';

void startDevServer({ ui: false }).then(({ pid }) => process.stdout.write(`${pid}\n`));
