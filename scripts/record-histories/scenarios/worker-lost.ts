import type { Scenario } from '../scenario';

/** Runs whose host worker is killed: nothing else may run on that worker meanwhile. */
export const WORKER_LOST: readonly Scenario[] = [
  async function losesItsWorker(on) {
    const { vmId } = on;
    const run = await on.serviceHost({
      faults: [{ vmId, step: 'saveVm', kind: 'slow', delay: '1s' }],
    });
    await on.paused();
    on.killHostWorker();
    await on.ended(run);
    return {
      'service-host.worker-killed': {
        run,
        ends: 'HostNotUpdated',
        shows:
          'The host worker is killed while both VMs are dark: the dead-man goes on with their steps, and starts no update that nobody is there for.',
      },
      'fast-save.worker-killed': {
        run: await on.child('save'),
        ends: 'completed',
        shows:
          'Its steps went on without it, and are answered from the host’s results when the worker is back.',
      },
    };
  },
];
