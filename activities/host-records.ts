import type { Beginning, JournalEntry } from '../contract/host';
import type { Holder } from '../contract/ids';
import type { HostDriver } from '../hosts/host-driver';
import { answered } from './failure';

/** What a host has on record. No workflow asks for it: scripts do, when they take a run home. */
export interface HostRecords {
  /** At most this many entries of the host's journal, after this number. */
  readJournal(hostId: string, afterSeq: number, limit: number): Promise<readonly JournalEntry[]>;
  /** How the host was when these runs took it or one of its VMs, as far as it still knows. */
  readBeginnings(hostId: string, holders: readonly Holder[]): Promise<readonly Beginning[]>;
}

export const createHostRecords = (driver: HostDriver): HostRecords => ({
  readJournal: (hostId, afterSeq, limit) =>
    answered(driver.readJournal(hostId, { afterSeq, limit })),
  readBeginnings: (hostId, holders) => answered(driver.readBeginnings(hostId, holders)),
});
