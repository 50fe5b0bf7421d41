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
        ends: 'completed',
        shows:
          'The host worker is killed while both VMs are dark: the run goes on when the worker is back.',
      },
      'fast-save.worker-killed': {
        run: await on.child('save'),
        ends: 'completed',
        shows:
          'A workflow task that timed out in the middle of a local block: the block begins anew, the host answers from its results.',
      },
    };
  },
];
