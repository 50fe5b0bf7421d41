import type { Scenario } from '../scenario';

/** Longer than any window: the step never succeeds. */
const OFTEN = 1_000;

/** Runs in which steps of a host fail, and what becomes of them. */
export const FAILING: readonly Scenario[] = [
  async function retriesSteps(on) {
    const save = await on.ended(
      await on.fastSave({
        faults: [
          { step: 'disableOptimizations', kind: 'fail-before', times: 2 },
          { step: 'saveVm', kind: 'fail-after' },
        ],
      }),
    );
    const restore = await on.ended(
      await on.fastRestore({
        faults: [
          { step: 'assignVirtualFunction', kind: 'fail-before' },
          { step: 'resumeVm', kind: 'fail-after' },
        ],
      }),
    );
    return {
      'fast-save.retried-steps': {
        run: save,
        ends: 'completed',
        shows:
          'One step fails twice before its effect, one has its effect but loses its reply: the retries succeed.',
      },
      'fast-restore.retried-steps': {
        run: restore,
        ends: 'completed',
        shows:
          'The same while the VM is dark: a step fails before its effect, and the reply to resumeVm is lost.',
      },
    };
  },

  async function retriesStepsInPlace(on) {
    const { vmId } = on;
    const run = await on.ended(
      await on.serviceHost({
        faults: [
          { vmId, step: 'saveSyntheticAdapter', kind: 'fail-before', times: 2 },
          { vmId, step: 'restoreVm', kind: 'fail-after' },
        ],
      }),
    );
    return {
      'service-host.updated-with-retries': {
        run,
        ends: 'completed',
        shows:
          'The parent does not notice retries of its children’s steps: the host is updated all the same.',
      },
      'fast-save.retried-in-servicing': {
        run: await on.child('save'),
        ends: 'completed',
        shows:
          'A step of the list that needed three attempts: the host made them by itself, and the result says so.',
      },
      'fast-restore.retried-in-servicing': {
        run: await on.child('restore'),
        ends: 'completed',
        shows: 'A step of the list whose reply was lost: the second attempt observes its effect.',
      },
    };
  },

  async function undoesASave(on) {
    const run = await on.ended(
      await on.fastSave({
        blackoutBudget: '3s',
        faults: [{ step: 'saveVm', kind: 'fail-before', times: OFTEN }],
      }),
    );
    return {
      'fast-save.undone': {
        run,
        ends: 'SaveUndone',
        withAllBelow: true,
        shows:
          'A dark step fails until its share of the budget is spent: fence, undo in order, and the VM runs as before.',
      },
    };
  },

  async function undoesAllVmsOfAHost(on) {
    const { vmId } = on;
    const run = await on.ended(
      await on.serviceHost({
        blackoutBudget: '3s',
        faults: [{ vmId, step: 'saveVm', kind: 'fail-before', times: OFTEN }],
      }),
    );
    return {
      'service-host.not-updated': {
        run,
        ends: 'HostNotUpdated',
        withAllBelow: true,
        shows:
          'One VM cannot be saved, so none crosses: four children that end undone or not needed, and a typed failure.',
      },
      'fast-save.undone-in-servicing': {
        run: await on.child('save'),
        ends: 'SaveUndone',
        shows:
          'The save that failed: the steps after it were not reached, and the undo is a list of its own.',
      },
      'fast-save.barrier-broken': {
        run: await on.child('save', 'vm-02'),
        ends: 'SaveUndone',
        shows: 'The other VM’s save: nothing was wrong with it, but the barrier broke.',
      },
      'fast-restore.not-needed': {
        run: await on.child('restore'),
        ends: 'completed',
        shows: 'The restore that was prepared and waiting ends with nothing to do.',
      },
    };
  },

  async function fallsBack(on) {
    const { vmId } = on;
    const run = await on.ended(
      await on.serviceHost({
        blackoutBudget: '3s',
        faults: [{ vmId, step: 'restoreVirtualFunctionState', kind: 'fail-before', times: OFTEN }],
      }),
    );
    return {
      'service-host.degraded': {
        run,
        ends: 'completed',
        withAllBelow: true,
        shows: 'Updated, but one VM has another VF than before: outcome degraded, with the reason.',
      },
      'fast-restore.reattached': {
        run: await on.child('restore'),
        ends: 'completed',
        shows:
          'The VF’s state cannot be restored: the held VF is given up in the blackout and one is attached anew after it.',
      },
    };
  },

  async function staysSynthetic(on) {
    await on.ended(await on.fastSave());
    const run = await on.ended(
      await on.fastRestore({
        blackoutBudget: '3s',
        faults: [
          { step: 'createVpciBus', kind: 'fail-before', times: OFTEN },
          { step: 'allocateVirtualFunction', kind: 'fail-before', times: OFTEN },
        ],
      }),
    );
    return {
      'fast-restore.synthetic-only': {
        run,
        ends: 'completed',
        shows:
          'No bus for the held VF, and no new VF to be had either: the VM runs on its synthetic adapter.',
      },
    };
  },

  async function losesTheVirtualFunction(on) {
    const save = await on.ended(
      await on.fastSave({ faults: [{ step: 'saveVirtualFunctionState', kind: 'vf-gone' }] }),
    );
    const restore = await on.ended(await on.fastRestore());
    return {
      'fast-save.without-vf-record': {
        run: save,
        ends: 'completed',
        shows:
          'The VF is taken away just before its state is saved (claim 3): the save goes on without a VF record.',
      },
      'fast-restore.without-vf-record': {
        run: restore,
        ends: 'completed',
        shows: 'The restore of such a record: a VF is attached anew.',
      },
    };
  },

  async function rollsTheUpdateBack(on) {
    const run = await on.ended(
      await on.serviceHost({
        faults: [{ step: 'commitUpdate', kind: 'fail-before', times: OFTEN }],
      }),
    );
    return {
      'service-host.rolled-back': {
        run,
        ends: 'HostNotUpdated',
        withAllBelow: true,
        shows:
          'The update cannot be committed once every VM is saved: it is rolled back, and the VMs come back on the old version.',
      },
      'fast-restore.after-roll-back': {
        run: await on.child('restore'),
        ends: 'completed',
        shows: 'A restore on the old stack, after the update was rolled back.',
      },
    };
  },

  async function strandsAVm(on) {
    await on.ended(await on.fastSave());
    const run = await on.ended(
      await on.fastRestore({
        blackoutBudget: '3s',
        faults: [{ step: 'restoreVm', kind: 'fail-before', times: OFTEN }],
      }),
    );
    return {
      'fast-restore.stranded': {
        run,
        ends: 'VmStranded',
        shows:
          'No way forward that is known to be safe: the VM stays held and paused, and the failure says what to do.',
      },
    };
  },
];
