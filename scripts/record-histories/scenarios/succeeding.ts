import type { Scenario } from '../scenario';

/** Runs in which nothing goes wrong. */
export const SUCCEEDING: readonly Scenario[] = [
  async function updatesAHost(on) {
    const run = await on.ended(await on.serviceHost());
    return {
      'service-host.updated': {
        run,
        ends: 'completed',
        withAllBelow: true,
        shows:
          'A host is updated under two VMs: the parent of four children, with the order of restores before saves before the commit.',
      },
      'fast-save.in-servicing': {
        run: await on.child('save'),
        ends: 'completed',
        shows:
          'The save that serviceHost starts: its dark steps are issued ahead, all at once, and answered when the VM runs again.',
      },
      'fast-restore.in-servicing': {
        run: await on.child('restore'),
        ends: 'completed',
        shows:
          'The restore that serviceHost starts before the save: it prepares, and issues its dark steps while the VM still runs.',
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
        shows:
          'The smallest input a person can give: every step of a modified save as a regular activity on the host’s queue.',
      },
      'fast-restore.alone': {
        run: restore,
        ends: 'completed',
        shows:
          'The smallest input a person can give: every step of a modified restore as a regular activity on the host’s queue.',
      },
    };
  },

  async function restoresInOneStep(on) {
    await on.ended(await on.fastSave());
    const restore = await on.ended(await on.fastRestore({ virtualFunctionRestore: 'one-step' }));
    return {
      'fast-restore.one-step': {
        run: restore,
        ends: 'completed',
        shows: 'Retrieval, bus, assignment and state as one step (claim 17).',
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
        shows:
          'The typical restore, by the mode that the record names: a VF is attached after the VM runs.',
      },
    };
  },
];
