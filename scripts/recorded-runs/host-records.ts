import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';
import type { HostRecords } from '../../activities/host-records';
import type { Beginning, JournalEntry } from '../../contract/host';
import { hostQueue } from '../../contract/queues';
import { reasonOf } from '../../tools/reason';
import type { RunRef } from './recorded-run';

/** What a host had on record of some runs. */
export interface HostRecord {
  readonly hostId: string;
  readonly beginnings: readonly Beginning[];
  /** Why nothing is known; null where the host answered. */
  readonly missing: string | null;
}

/** About 400 KB of JSON: a payload may have 2 MB. */
const PAGE = 2_000;
/** For a host that is busy or just starting; a dead one is given up after this. */
const ANSWERS_WITHIN_MS = 20_000;

/** Asks a host, through its task queue, for what it kept of these runs. */
export async function recordOf(
  client: Client,
  hostId: string,
  runs: readonly RunRef[],
): Promise<HostRecord> {
  try {
    const beginnings = await ask(client, hostId, 'readBeginnings', [hostId, runs]);
    return { hostId, beginnings, missing: null };
  } catch (error) {
    return { hostId, beginnings: [], missing: reasonOf(error) };
  }
}

/** The journal of a host from the first of these beginnings on, page by page; none if the host kept none of them. */
export async function* journalOf(
  client: Client,
  { hostId, beginnings }: HostRecord,
): AsyncGenerator<readonly JournalEntry[]> {
  if (beginnings.length === 0) return;
  for (let after = Math.min(...beginnings.map((b) => b.journalSeq)); ;) {
    const entries = await ask(client, hostId, 'readJournal', [hostId, after, PAGE]);
    if (entries.length > 0) yield entries;
    const last = entries.at(-1);
    if (last === undefined || entries.length < PAGE) return;
    after = last.seq;
  }
}

/** One activity of its own, with no workflow around it: nothing is decided by what it answers. */
const ask = <Name extends keyof HostRecords>(
  client: Client,
  hostId: string,
  name: Name,
  args: Parameters<HostRecords[Name]>,
): Promise<Awaited<ReturnType<HostRecords[Name]>>> =>
  client.activity.execute(name, {
    id: `${name}/${hostId}/${randomUUID()}`,
    taskQueue: hostQueue(hostId),
    args,
    scheduleToCloseTimeout: ANSWERS_WITHIN_MS,
    retry: { maximumAttempts: 3 },
  });
