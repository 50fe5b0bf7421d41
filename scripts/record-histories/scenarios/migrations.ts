import type { Scenario } from '../scenario';

/** Migrations, each to a host of its own that has no VMs. */
export const MIGRATIONS: readonly Scenario[] = (
  [
    async function migratesAVm(on) {
      return {
        'migrate-vm.migrated': {
          run: await on.ended(
            await on.migrateVm({ faults: [{ step: 'suspendVm', kind: 'fail-after' }] }),
          ),
          ends: 'completed',
          withAllBelow: true,
          shows:
            'A migration by the emulated path: checked, drained, unplugged, relinquished, resumed, plugged in again; the reply of one dark step was lost.',
        },
      };
    },

    async function migratesByUnplugReplug(on) {
      return {
        'migrate-vm.unplug-replug': {
          run: await on.ended(await on.migrateVm({ method: 'unplug-replug' })),
          ends: 'completed',
          shows:
            'The same move without an emulated path: the guest gives its VF back and gets another.',
        },
      };
    },

    async function migratesDegraded(on) {
      return {
        'migrate-vm.degraded': {
          run: await on.ended(
            await on.migrateVm({ faults: [{ step: 'plugPassthrough', kind: 'vf-gone' }] }),
          ),
          ends: 'completed',
          shows: 'The function at the destination is gone: the VM runs there on the emulated path.',
        },
      };
    },

    async function migrationDrainsInVain(on) {
      return {
        'migrate-vm.undone': {
          run: await on.ended(
            await on.migrateVm({
              drainTimeLimit: '200ms',
              faults: [{ step: 'drainPassthrough', kind: 'stuck-command' }],
            }),
          ),
          ends: 'MigrationUndone',
          shows: 'A drain that does not end in time: everything is undone on both hosts.',
        },
      };
    },

    async function migrationDoesNotFit(on) {
      await on.ended(await on.migrateVm());
      const back = { fromHostId: on.hostIds[1] ?? '', toHostId: on.emptyHostId };
      return {
        'migrate-vm.destination-unfit': {
          run: await on.ended(await on.migrateVm(back)),
          ends: 'DestinationUnfit',
          shows: 'The destination has a VM of this name: its lease at the source is given back.',
        },
      };
    },

    async function migrationIsCancelledBefore(on) {
      const run = await on.migrateVm({
        faults: [{ step: 'unplugPassthrough', kind: 'slow', delay: '500ms' }],
      });
      await on.scheduled(run, 'unplugPassthrough');
      await on.cancel(run);
      return {
        'migrate-vm.cancelled-before-the-relinquish': {
          run: await on.ended(run),
          ends: 'cancelled',
          shows:
            'A cancel while the step under way unplugs passthrough: the step ends, then all is undone.',
        },
      };
    },

    async function migrationIsCancelledAfter(on) {
      const run = await on.migrateVm({
        faults: [{ step: 'resumeMigratedVm', kind: 'slow', delay: '500ms' }],
      });
      await on.scheduled(run, 'resumeMigratedVm');
      await on.cancel(run);
      return {
        'migrate-vm.cancelled-after-the-relinquish': {
          run: await on.ended(run),
          ends: 'cancelled',
          shows:
            'A cancel past the relinquish: the VM goes all the way, then the run ends as cancelled.',
        },
      };
    },

    async function migrationTakesOverBefore(on) {
      const first = await on.migrateVm({
        faults: [{ step: 'saveEmulatedDevice', kind: 'slow', delay: '500ms' }],
      });
      await on.scheduled(first, 'saveEmulatedDevice');
      await on.terminate(first, 'recorded');
      return {
        'migrate-vm.begins-anew': {
          run: await on.ended(await on.migrateVm()),
          ends: 'completed',
          shows:
            'After a run that was terminated before the relinquish: what it left is undone first.',
        },
      };
    },

    async function migrationTakesOverAfter(on) {
      const first = await on.migrateVm({
        faults: [{ step: 'resumeMigratedVm', kind: 'slow', delay: '500ms' }],
      });
      await on.scheduled(first, 'resumeMigratedVm');
      await on.terminate(first, 'recorded');
      return {
        'migrate-vm.goes-forward': {
          run: await on.ended(await on.migrateVm()),
          ends: 'completed',
          shows: 'After a run that was terminated past the relinquish: it only goes forward.',
        },
      };
    },

    async function serviceHostMovesItsVms(on) {
      const update = { component: 'hypervisor', version: '2.0.0' } as const;
      const migrateTo = [on.emptyHostId];
      return {
        'service-host.moves-its-vms': {
          run: await on.ended(await on.serviceHost({ update, onCannotKeep: 'migrate', migrateTo })),
          ends: 'completed',
          shows:
            'An update that keeps no VF: all VMs go to another host first, then it is updated.',
        },
      };
    },

    async function serviceHostCannotMoveItsVms(on) {
      const update = { component: 'hypervisor', version: '2.0.0' } as const;
      return {
        'service-host.cannot-move-its-vms': {
          run: await on.ended(await on.serviceHost({ update, onCannotKeep: 'migrate' })),
          ends: 'CannotKeep',
          shows: 'The same without a host to go to: the VMs stay, and nothing of it is begun.',
        },
      };
    },
  ] satisfies Scenario[]
).map((scenario) =>
  Object.assign(scenario, {
    emptyHosts: 1,
    ...(scenario.name === 'migrationDoesNotFit' ? { hosts: 2 } : {}),
  }),
);
