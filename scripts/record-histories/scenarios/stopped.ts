import type { Scenario } from '../scenario';

/** Runs that a person stops, in one way or another. */
export const STOPPED: readonly Scenario[] = [
  async function isCancelledBeforeThePoint(on) {
    const run = await on.fastSave({ faults: [{ step: 'saveVm', kind: 'slow', delay: '500ms' }] });
    await on.scheduled(run, 'saveVm');
    await on.cancel(run);
    return {
      'fast-save.cancelled-before-the-point': {
        run: await on.ended(run),
        ends: 'cancelled',
        shows:
          'A cancel while a dark step is under way: the step ends first, then everything is undone.',
      },
    };
  },

  async function isCancelledAfterThePoint(on) {
    const run = await on.fastSave({
      faults: [{ step: 'tearDownSyntheticAdapter', kind: 'slow', delay: '500ms' }],
    });
    await on.scheduled(run, 'tearDownSyntheticAdapter');
    await on.cancel(run);
    return {
      'fast-save.cancelled-after-the-point': {
        run: await on.ended(run),
        ends: 'cancelled',
        shows:
          'A cancel past the point of no return: the save is finished, the same run restores the VM, then it ends as cancelled.',
      },
    };
  },

  async function cancelsAHost(on) {
    const { vmId } = on;
    const run = await on.serviceHost({
      faults: [{ vmId, step: 'disableOptimizations', kind: 'slow', delay: '1s' }],
    });
    await on.scheduled(await on.child('save'), 'disableOptimizations');
    await on.cancel(run);
    await on.ended(run);
    return {
      'service-host.cancelled': {
        run,
        ends: 'cancelled',
        withAllBelow: true,
        shows:
          'A cancel while the VMs are being prepared: the host is told to stop, all children end, and the run ends as cancelled.',
      },
      'fast-save.stopped-with-its-host': {
        run: await on.child('save'),
        ends: 'SaveUndone',
        shows: 'The save of the VM that was being prepared when the run was stopped.',
      },
    };
  },

  async function abortsAHost(on) {
    const { vmId } = on;
    const run = await on.serviceHost({
      faults: [{ vmId, step: 'disableOptimizations', kind: 'slow', delay: '1s' }],
    });
    await on.scheduled(await on.child('save'), 'disableOptimizations');
    await on.update(run, 'abort', { reason: 'recorded' });
    return {
      'service-host.aborted': {
        run: await on.ended(run),
        ends: 'HostNotUpdated',
        shows:
          'An operator’s abort, as an update that the run accepts and answers while its children run.',
      },
    };
  },

  async function takesASaveOver(on) {
    const save = await on.fastSave({ faults: [{ step: 'saveVm', kind: 'slow', delay: '500ms' }] });
    await on.scheduled(save, 'saveVm');
    await on.terminate(save, 'recorded: a person terminates a save while its VM is paused');
    return {
      'fast-restore.takes-over': {
        run: await on.ended(await on.fastRestore()),
        ends: 'completed',
        shows:
          'A person terminated the save while the VM was paused: the restore asks the server, takes the lease over and undoes it.',
      },
    };
  },
];
