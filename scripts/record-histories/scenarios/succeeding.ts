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
          'The save that serviceHost starts: its dark steps run in place, so they are markers of local activities.',
      },
      'fast-restore.in-servicing': {
        run: await on.child('restore'),
        ends: 'completed',
        shows:
          'The restore that serviceHost starts before the save: it prepares, waits on the host, and its dark steps run in place.',
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
        shows:
          'A person asks for steps in place: the run pings the host and continues as new on the queue of the host’s worker.',
      },
      'fast-save.in-place': {
        run: save,
        ends: 'completed',
        shows:
          'The second run of it: a save outside servicing with its dark steps in place, and a maximal time saved.',
      },
      'fast-restore.one-step': {
        run: restore,
        ends: 'completed',
        shows: 'Retrieval, bus, assignment and state as one step (claim 17), in place.',
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
