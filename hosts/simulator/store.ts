import type { Database } from 'lmdb';
import { HostStore, type Key } from '../engine/store';
import type { Medium } from './devices/guest-io';
import type { PhysicalFunctionState } from './devices/physical-function';
import { FunctionDatabase } from './functions/function-database';
import type { HostState, Objects, VmState } from './state';

/** The state of simulated hosts: beside host and VM their physical functions, function database and migration media. */
export class SimulatorStore extends HostStore<Objects> {
  /** Policy, entries, buffers and answers; in the same transactions. */
  readonly functions: FunctionDatabase = new FunctionDatabase(this.table('functions'));

  putHost(host: HostState, pfs: readonly PhysicalFunctionState[], vms: readonly VmState[]): void {
    this.root.transactionSync(() => {
      this.putNewHost(host, vms);
      this.db.putSync(['pf', host.hostId], pfs);
    });
  }

  pfs(hostId: string): readonly PhysicalFunctionState[] {
    return this.db.get(['pf', hostId]) as readonly PhysicalFunctionState[];
  }

  /** Inside a transaction. */
  changePfs(hostId: string, change: (pfs: readonly PhysicalFunctionState[]) => void): void {
    const pfs = this.pfs(hostId);
    change(pfs);
    this.db.putSync(['pf', hostId], pfs);
  }

  protected override objectsOf(host: HostState, vm: VmState, nowMs: number): Objects {
    const { migration } = vm;
    const media = migration === undefined ? null : mediaIn(this.db, migration.migrationId);
    return { host, vm, nowMs, pfs: this.pfs(host.hostId), media, mediaOf: migration?.migrationId };
  }

  protected override putObjects({ host, vm, pfs, media = null, mediaOf }: Objects): void {
    this.db.putSync(['pf', host.hostId], pfs);
    // Both ends of a migration reach the same wire and the same namespaces.
    const migrationId = vm.migration?.migrationId ?? mediaOf;
    if (migrationId === undefined) return;
    if (media === null) this.db.removeSync(['media', migrationId]);
    else this.db.putSync(['media', migrationId], media);
  }

  protected override devicesMark({ pfs }: Objects): string {
    return pfs.map(({ mailbox }) => mailbox?.token).join();
  }
}

const mediaIn = (db: Database<unknown, Key>, migrationId: string) =>
  (db.get(['media', migrationId]) as Record<string, Medium> | undefined) ?? null;
