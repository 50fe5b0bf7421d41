'use strict';

/*
 * Runs one command for a parent process and ends it when that parent is gone.
 *
 *   node guard.cjs <graceMs> <command> [args…]     (started with an IPC channel)
 *
 * Plain JavaScript, because a TypeScript loader would cost every guarded process half a second.
 * The channel is the life line: the kernel closes it even when the parent dies by SIGKILL.
 * Reports: {kind:'started',pid}, {kind:'failed',reason}, {kind:'exited',code,signal}. Accepts: 'stop'.
 */
const { spawn } = require('node:child_process');

const [graceMs, command, ...args] = process.argv.slice(2);

// A process group of its own: a Ctrl-C at the terminal does not reach it, and one signal reaches all it starts.
const child = spawn(command, args, { detached: true, stdio: ['ignore', 'inherit', 'inherit'] });
let forced;

function signalGroup(signal) {
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    // ESRCH: the group is gone, which is what was wanted. macOS says EPERM when only zombies are left of it.
    if (error.code !== 'ESRCH' && error.code !== 'EPERM') throw error;
  }
}

function stop() {
  if (child.pid === undefined || forced !== undefined) return;
  forced = setTimeout(() => signalGroup('SIGKILL'), Number(graceMs));
  signalGroup('SIGTERM');
}

function reportAndLeave(report) {
  clearTimeout(forced);
  if (!process.connected) return;
  process.send(report, () => {
    if (process.connected) process.disconnect();
  });
}

child.once('spawn', () => {
  if (process.connected) process.send({ kind: 'started', pid: child.pid });
});
child.once('error', (error) => reportAndLeave({ kind: 'failed', reason: error.message }));
child.once('exit', (code, signal) => {
  process.removeListener('disconnect', stop);
  // Whatever the command itself started and left behind.
  signalGroup('SIGKILL');
  reportAndLeave({ kind: 'exited', code, signal });
});

process.on('message', stop);
process.once('disconnect', stop);
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, stop);
