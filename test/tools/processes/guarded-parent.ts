/** Started as a process by tests: guards the shell command in $GUARDED and prints the pid it got. */
import { spawnGuarded } from '../../../tools/processes/spawn-guarded';

void spawnGuarded('sh', ['-c', process.env['GUARDED'] ?? ''], { graceMs: 200 }).then(({ pid }) =>
  process.stdout.write(`${pid}\n`),
);
