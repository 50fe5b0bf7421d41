import { mkdirSync } from 'node:fs';
import { open, type Database, type RootDatabase } from 'lmdb';
import type { KeptHost, Surveyed, WaveHost } from '../../contract/fleet-plan';
import type { PlannedHost, RefusedHost } from '../../contract/fleet-results';
import type { Update } from '../../contract/inputs';
import type { InventoryHost } from '../../contract/inventory';

type Key = (string | number)[];

/** A plan as it is kept: everything but its hosts, of which each has an entry of its own. */
export interface KeptPlan {
  readonly update: Update;
  readonly waves: readonly {
    readonly number: number;
    readonly canary: boolean;
    readonly hostIds: readonly string[];
  }[];
  readonly refused: readonly RefusedHost[];
}

/**
 * What fleet updates keep outside their histories, by plan: the selection, what the hosts answered, the plan, and what
 * became of each host. One LMDB environment; every orchestrator process that serves the same runs must open it.
 * Everything is written at least once and reads the same however often it was.
 */
export class FleetStore {
  readonly #root: RootDatabase;
  readonly #db: Database<unknown, Key>;

  constructor(directory: string) {
    mkdirSync(directory, { recursive: true });
    // A history says that it is here: it has to be on the disk when a call returns, and not some time later.
    this.#root = open({ path: directory, mapSize: 2 * 2 ** 30, overlappingSync: false });
    this.#db = this.#root.openDB<unknown, Key>({ name: 'fleet-updates', encoding: 'msgpack' });
  }

  async close(): Promise<void> {
    await this.#root.close();
  }

  putSelection(planId: string, hosts: readonly InventoryHost[]): void {
    this.#db.putSync(['selection', planId], hosts);
  }
  selection(planId: string): readonly InventoryHost[] {
    return this.#found(['selection', planId]);
  }

  putSurveys(planId: string, surveys: readonly Surveyed[]): void {
    this.#root.transactionSync(() => {
      if (this.hasPlan(planId)) return;
      for (const survey of surveys) this.#db.putSync(['survey', planId, survey.hostId], survey);
    });
  }
  surveys(planId: string): ReadonlyMap<string, Surveyed> {
    return new Map(this.#all<Surveyed>('survey', planId).map((s) => [s.hostId, s]));
  }

  /** With that, the surveys have had their use; they are the largest part of what is kept. */
  putPlan(planId: string, plan: KeptPlan, hosts: readonly PlannedHost[]): void {
    this.#root.transactionSync(() => {
      for (const hostId of this.surveys(planId).keys())
        this.#db.removeSync(['survey', planId, hostId]);
      this.#db.putSync(['plan', planId], plan);
      for (const host of hosts) this.#db.putSync(['planned', planId, host.hostId], host);
    });
  }
  hasPlan(planId: string): boolean {
    return this.#db.doesExist(['plan', planId]);
  }
  plan(planId: string): KeptPlan {
    return this.#found(['plan', planId]);
  }
  planned(planId: string, hostId: string): PlannedHost {
    return this.#found(['planned', planId, hostId]);
  }
  waveHost(planId: string, hostId: string): WaveHost {
    const planned = this.planned(planId, hostId);
    const { faultDomain, availabilityGroups, notBeforeMs, migrateTo } = planned;
    return {
      hostId,
      faultDomain,
      availabilityGroups,
      ...(notBeforeMs === undefined ? {} : { notBeforeMs }),
      ...(migrateTo === undefined ? {} : { migrateTo }),
    };
  }

  putHosts(planId: string, hosts: readonly KeptHost[]): void {
    this.#root.transactionSync(() => {
      for (const host of hosts) {
        const known = this.host(planId, host.hostId);
        // A repeat that comes late must not undo what was said since.
        if (known === undefined || known.order <= host.order)
          this.#db.putSync(['host', planId, host.hostId], host);
      }
    });
  }
  host(planId: string, hostId: string): KeptHost | undefined {
    return this.#db.get(['host', planId, hostId]) as KeptHost | undefined;
  }
  hosts(planId: string): readonly KeptHost[] {
    return this.#all('host', planId);
  }

  #found<T>(key: Key): T {
    const value = this.#db.get(key) as T | undefined;
    if (value === undefined) {
      throw new Error(
        `The fleet store has no ${String(key[0])} of ${key.slice(1).join(' ')}. Do all orchestrators have the same --data-dir?`,
      );
    }
    return value;
  }

  #all<T>(kind: string, planId: string): T[] {
    const range = this.#db.getRange({ start: [kind, planId, ''], end: [kind, planId, '\uffff'] });
    return [...range].map(({ value }) => value as T);
  }
}
