'use strict';

/*
 * Cleans up after a run of the tests, however it ended:
 *
 *   node sweeper.cjs <directory>     (HOLDFAST_TEST_RUN=<directory> in the environment of all that the run started)
 *
 * Standard input is the life line: the kernel closes it even when the run dies by SIGKILL. Then every process of the run is
 * ended and the directory is removed. Exit code 1, with the names of the processes, if the run said that it had finished
 * and some were still there: a test left them.
 */
const { readFileSync, readdirSync, rmSync } = require('node:fs');

const [directory] = process.argv.slice(2);
const mark = `HOLDFAST_TEST_RUN=${directory}`;

/** Where there is no /proc (macOS) none are found; guarded processes end with the run all the same. */
function processesOfTheRun() {
  const pids = listed('/proc').filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => read(pid, 'environ').split('\0').includes(mark)).map(Number);
}

function listed(path) {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** Empty for a process that has ended meanwhile, or belongs to somebody else. */
function read(pid, file) {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}

/** What is still there after a moment: a process that was told to end may be about to. */
async function leftBehind() {
  for (const until = Date.now() + 5_000; ;) {
    const pids = processesOfTheRun();
    if (pids.length === 0 || Date.now() > until) return pids;
    await pause();
  }
}

async function endAll() {
  for (let pids = processesOfTheRun(); pids.length > 0; pids = processesOfTheRun()) {
    for (const pid of pids) end(pid);
    await pause();
  }
}

function end(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    // ESRCH: it has ended by itself.
    if (error.code !== 'ESRCH') throw error;
  }
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 50));

async function sweep(said) {
  const left = said === 'finished' ? await leftBehind() : [];
  for (const pid of left) {
    const command = read(pid, 'cmdline').replaceAll('\0', ' ').trim();
    process.stderr.write(`left running by a test: ${pid} ${command}\n`);
  }
  await endAll();
  rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  process.exitCode = left.length === 0 ? 0 : 1;
}

let said = '';
process.stdin.on('data', (data) => (said += data));
process.stdin.once('close', () => void sweep(said));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => undefined);
