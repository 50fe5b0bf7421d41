import { HARD_BLACKOUT_LIMIT } from '../../contract/inputs';
import { fastSaveId } from '../../contract/queues';
import type { Run, Stage } from './stage';

/** How a history that is kept must end: completed, cancelled, continued as new, terminated, or with a failure of this type. */
export type End = 'completed' | 'cancelled' | 'continuedAsNew' | (string & {});

export interface Kept {
  readonly run: Run;
  readonly ends: End;
  /** What the history shows, and why it is worth keeping. */
  readonly shows: string;
}

/** Brings one or more runs to their end on a host of its own; answers the histories to keep, by file name. */
export type Scenario = (on: Stage) => Promise<Readonly<Record<string, Kept>>>;

const OFTEN = 1_000;
const TASK_QUEUE = { stepPlacement: 'task-queue' } as const;

export const SCENARIOS: readonly Scenario[] = [
  async function updatesAHost(on) {
    const run = await on.ended(await on.serviceHost());
    return {
      'service-host.updated': {
        run,
        ends: 'completed',
        shows: 'A host is updated under two VMs: the parent of four children, with the order of restores before saves before the commit.',
      },
      'fast-save.in-servicing': {
        run: await on.child('save'),
        ends: 'completed',
        shows: 'The save that serviceHost starts: its dark steps run in place, so they are markers of local activities.',
      },
      'fast-restore.in-servicing': {
        run: await on.child('restore'),
        ends: 'completed',
        shows: 'The restore that serviceHost starts before the save: it prepares, waits on the host, and its dark steps run in place.',
      },
    };
  },

  async function savesAndRestoresAlone(on) {
    const save = await on.ended(await on.fastSave());
    const restore = await on.ended(await on.fastRestore());
    return {
      'fast-save.alone': {
        run: save,
        ends: 'completed',
        shows: 'The smallest input a person can give: every step of a modified save as a regular activity on the host’s queue.',
      },
      'fast-restore.alone': {
        run: restore,
        ends: 'completed',
        shows: 'The smallest input a person can give: every step of a modified restore as a regular activity on the host’s queue.',
      },
    };
  },

  async function savesAndRestoresInPlace(on) {
    const first = await on.ended(await on.fastSave({ stepPlacement: 'in-place' }));
    const save = await on.ended(await on.next(first));
    const restoreFirst = await on.ended(
      await on.fastRestore({ stepPlacement: 'in-place', virtualFunctionRestore: 'one-step' }),
    );
    const restore = await on.ended(await on.next(restoreFirst));
    return {
      'fast-save.moves-to-the-host': {
        run: first,
        ends: 'continuedAsNew',
        shows: 'A person asks for steps in place: the run pings the host and continues as new on the queue of the host’s worker.',
      },
      'fast-save.in-place': {
        run: save,
        ends: 'completed',
        shows: 'The second run of it: a save outside servicing with its dark steps in place, and a maximal time saved.',
      },
      'fast-restore.one-step': {
        run: restore,
        ends: 'completed',
        shows: 'Retrieval, bus, assignment and state as one step (claim 17), in place.',
      },
    };
  },

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
        shows: 'One step fails twice before its effect, one has its effect but loses its reply: the retries succeed.',
      },
      'fast-restore.retried-steps': {
        run: restore,
        ends: 'completed',
        shows: 'The same while the VM is dark: a step fails before its effect, and the reply to resumeVm is lost.',
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
        shows: 'The parent does not notice retries of its children’s steps: the host is updated all the same.',
      },
      'fast-save.retried-in-place': {
        run: await on.child('save'),
        ends: 'completed',
        shows: 'A local activity that needed three attempts: the marker has the last of them only.',
      },
      'fast-restore.retried-in-place': {
        run: await on.child('restore'),
        ends: 'completed',
        shows: 'A local activity whose reply was lost: the second attempt is answered from the host’s result.',
      },
    };
  },

  async function undoesASave(on) {
    const run = await on.ended(
      await on.fastSave({ blackoutBudget: '3s', faults: [{ step: 'saveVm', kind: 'fail-before', times: OFTEN }] }),
    );
    return {
      'fast-save.undone': {
        run,
        ends: 'SaveUndone',
        shows: 'A dark step fails until its share of the budget is spent: fence, undo in order, and the VM runs as before.',
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
        shows: 'One VM cannot be saved, so none crosses: four children that end undone or not needed, and a typed failure.',
      },
      'fast-save.undone-in-servicing': {
        run: await on.child('save'),
        ends: 'SaveUndone',
        shows: 'The save that failed, with its undo in place.',
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
        shows: 'Updated, but one VM has another VF than before: outcome degraded, with the reason.',
      },
      'fast-restore.reattached': {
        run: await on.child('restore'),
        ends: 'completed',
        shows: 'The VF’s state cannot be restored: the held VF is given up in the blackout and one is attached anew after it.',
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
        shows: 'No bus for the held VF, and no new VF to be had either: the VM runs on its synthetic adapter.',
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
        shows: 'The VF is taken away just before its state is saved (claim 3): the save goes on without a VF record.',
      },
      'fast-restore.without-vf-record': {
        run: restore,
        ends: 'completed',
        shows: 'The restore of such a record: a VF is attached anew.',
      },
    };
  },

  async function savesConventionally(on) {
    const save = await on.ended(await on.fastSave({ mode: 'conventional' }));
    const restore = await on.ended(await on.fastRestore());
    return {
      'fast-save.conventional': {
        run: save,
        ends: 'completed',
        shows: 'The typical save: the guest gives its VF back first.',
      },
      'fast-restore.conventional': {
        run: restore,
        ends: 'completed',
        shows: 'The typical restore, by the mode that the record names: a VF is attached after the VM runs.',
      },
    };
  },

  async function isCancelledBeforeThePoint(on) {
    const run = await on.fastSave({ ...TASK_QUEUE, faults: [{ step: 'saveVm', kind: 'slow', delay: '500ms' }] });
    await on.scheduled(run, 'saveVm');
    await on.cancel(run);
    return {
      'fast-save.cancelled-before-the-point': {
        run: await on.ended(run),
        ends: 'cancelled',
        shows: 'A cancel while a dark step is under way: the step ends first, then everything is undone.',
      },
    };
  },

  async function isCancelledAfterThePoint(on) {
    const run = await on.fastSave({
      ...TASK_QUEUE,
      faults: [{ step: 'tearDownSyntheticAdapter', kind: 'slow', delay: '500ms' }],
    });
    await on.scheduled(run, 'tearDownSyntheticAdapter');
    await on.cancel(run);
    return {
      'fast-save.cancelled-after-the-point': {
        run: await on.ended(run),
        ends: 'cancelled',
        shows: 'A cancel past the point of no return: the save is finished, the same run restores the VM, then it ends as cancelled.',
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
        shows: 'A cancel while the VMs are being prepared: the host is told to stop, all children end, and the run ends as cancelled.',
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
        shows: 'An operator’s abort, as an update that the run accepts and answers while its children run.',
      },
    };
  },

  async function rollsTheUpdateBack(on) {
    const run = await on.ended(
      await on.serviceHost({ faults: [{ step: 'commitUpdate', kind: 'fail-before', times: OFTEN }] }),
    );
    return {
      'service-host.rolled-back': {
        run,
        ends: 'HostNotUpdated',
        shows: 'The update cannot be committed once every VM is saved: it is rolled back, and the VMs come back on the old version.',
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
      await on.fastRestore({ blackoutBudget: '3s', faults: [{ step: 'restoreVm', kind: 'fail-before', times: OFTEN }] }),
    );
    return {
      'fast-restore.stranded': {
        run,
        ends: 'VmStranded',
        shows: 'No way forward that is known to be safe: the VM stays held and paused, and the failure says what to do.',
      },
    };
  },

  async function takesASaveOver(on) {
    const save = await on.fastSave({ ...TASK_QUEUE, faults: [{ step: 'saveVm', kind: 'slow', delay: '500ms' }] });
    await on.scheduled(save, 'saveVm');
    await on.terminate(save, 'recorded: a person terminates a save while its VM is paused');
    return {
      'fast-restore.takes-over': {
        run: await on.ended(await on.fastRestore()),
        ends: 'completed',
        shows: 'A person terminated the save while the VM was paused: the restore asks the server, takes the lease over and undoes it.',
      },
    };
  },

  async function refusesAnInput(on) {
    const run = await on.start('fastSave', fastSaveId(on.hostId, 'wrong'), {
      hostId: on.hostId,
      vmId: 'no such name',
      mode: 'typical',
      blackoutBudget: HARD_BLACKOUT_LIMIT.replace('30', '31'),
    });
    return {
      'fast-save.invalid-input': {
        run: await on.ended(run),
        ends: 'InvalidInput',
        shows: 'Three wrong fields, all named in one failure, before anything is touched.',
      },
    };
  },

  async function namesAnUnknownVm(on) {
    const run = await on.start('fastSave', fastSaveId(on.hostId, 'vm-99'), { hostId: on.hostId, vmId: 'vm-99' });
    return {
      'fast-save.unknown-vm': {
        run: await on.ended(run),
        ends: 'UnknownVm',
        shows: 'A VM that the host does not have: the host’s own failure reaches the person with the VMs it has.',
      },
    };
  },

  async function findsNoHost(on) {
    const run = await on.start('fastSave', fastSaveId('host-99', on.vmId), { hostId: 'host-99', vmId: on.vmId });
    return {
      'fast-save.host-unreachable': {
        run: await on.ended(run),
        ends: 'HostUnreachable',
        shows: 'Nobody polls the host’s queue: the ping times out before anything is touched.',
      },
    };
  },
];
