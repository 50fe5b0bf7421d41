import { createHash } from 'node:crypto';
import { HoldfastError } from '../../../contract/failures';
import type { VirtualFunctionIdentity } from '../../../contract/ids';
import type { Mode } from '../../../contract/inputs';
import { move, type LegalMoves } from '../legal-moves';
import type { SwitchBlob } from './vm-switch';

/** The record of one save in the runtime repository: written in blocks, committed by a final marker, consumed once. */
export interface SavedRecord {
  readonly recordVersion: number;
  /** Version of the VDEV that wrote it; the restore checks that it can read it (Hyper-V-Worker event 23012). */
  readonly vdevVersion: number;
  /** The oldest VDEV that can read it: an update that is taken back restores what the new stack wrote. */
  readonly oldestReader: number;
  readonly mode: Mode;
  readonly generation: number;
  state: RecordPhase;
  claimedBy: number | null;
  blocks: {
    vmState?: { readonly guestClockMs: number; readonly virtualProcessors: number };
    /** By adapter. */
    readonly adapters: Record<string, AdapterBlocks>;
  };
  commit: { readonly blockCount: number; readonly checksum: string } | null;
}

export interface AdapterBlocks {
  vfState?: VfStateBlock;
  vfInfo?: VirtualFunctionIdentity & { readonly configEpoch: number };
  switchBlobs?: SwitchBlob[];
  /** Why there is no VF block, when the VF was gone at the save. */
  withoutVf: string | null;
}

/** Host-owned shadow state only; the device itself is never quiesced, masked or written. */
export interface VfStateBlock {
  readonly configEpoch: number;
  readonly barPlacement: readonly string[];
  readonly interruptMappings: number;
  readonly powerState: 'D0' | 'D3';
  readonly negotiatedVersion: string;
  readonly instanceGuid: string;
}
type RecordPhase = 'writing' | 'committed' | 'claimed' | 'consumed' | 'discarded';

/** Written by every stack there is, and all that they read. */
const RECORD_VERSION = 1;
export const READABLE_RECORD_VERSIONS = [1] as const;

/** The VDEVs of a stack: those of 1.x write version 6; later ones write 7, which adds nothing that a 6 could not ignore. */
const vdevsOf = (
  stackVersion: string,
): { readonly version: number; readonly oldestRead: number } => ({
  version: /^[01](\.|$)/.test(stackVersion) ? 6 : 7,
  oldestRead: 6,
});
const OLDEST_READER = 6;

const MOVES: LegalMoves<RecordPhase> = {
  writing: ['committed', 'discarded'],
  committed: ['claimed', 'discarded'],
  claimed: ['claimed', 'committed', 'consumed', 'discarded'],
  consumed: [],
  discarded: [],
};
const go = (r: SavedRecord, to: RecordPhase) => {
  r.state = move('saved record', MOVES, r.state, to);
};

export const startRecord = (mode: Mode, generation: number, stackVersion: string): SavedRecord => ({
  recordVersion: RECORD_VERSION,
  vdevVersion: vdevsOf(stackVersion).version,
  oldestReader: OLDEST_READER,
  mode,
  generation,
  state: 'writing',
  claimedBy: null,
  blocks: { adapters: {} },
  commit: null,
});

/** The blocks of one adapter; made on the first write. */
export const blocksOf = (r: SavedRecord, adapterId: string): AdapterBlocks =>
  (r.blocks.adapters[adapterId] ??= { withoutVf: null });

const ADAPTER_BLOCKS = ['vfState', 'vfInfo', 'switchBlobs'] as const;
export const blockCount = ({ blocks }: SavedRecord): number =>
  (blocks.vmState === undefined ? 0 : 1) +
  Object.values(blocks.adapters).reduce(
    (sum, of) => sum + ADAPTER_BLOCKS.filter((block) => of[block] !== undefined).length,
    0,
  );

const checksum = (r: SavedRecord): string =>
  createHash('sha256')
    .update(JSON.stringify([r.recordVersion, r.vdevVersion, r.oldestReader, r.mode, r.blocks]))
    .digest('hex');

/** The final marker over VDEV version, block count and checksum (claim 10): only with it the record counts. */
export function commitRecord(r: SavedRecord): void {
  go(r, 'committed');
  r.commit = { blockCount: blockCount(r), checksum: checksum(r) };
}

/** Claims the record for one restore, after checking that it is whole; a record is read by one generation at a time. */
export function claimRecord(r: SavedRecord, generation: number, stackVersion: string): void {
  const { version, oldestRead } = vdevsOf(stackVersion);
  const isReadable = version >= r.oldestReader && r.vdevVersion >= oldestRead;
  if (r.recordVersion !== RECORD_VERSION || !isReadable) {
    throw new HoldfastError(
      'RecordUnreadable',
      `The record has version ${String(r.recordVersion)}, VDEV version ${String(r.vdevVersion)} for readers from ${String(r.oldestReader)} on; stack ${stackVersion} reads ${String(RECORD_VERSION)} and has VDEV version ${String(version)}, which reads from ${String(oldestRead)} on.`,
    );
  }
  if (r.commit?.checksum !== checksum(r) || r.commit.blockCount !== blockCount(r)) {
    throw new HoldfastError('VmStateLost', 'The record does not match its commit marker.');
  }
  go(r, 'claimed');
  r.claimedBy = generation;
}

/** The process that claimed it is gone, and has changed nothing in it: another may claim it. */
export function releaseClaim(r: SavedRecord): void {
  if (r.state === 'claimed') go(r, 'committed');
  r.claimedBy = null;
}

/** Exactly once, by `resumeVm`: earlier would forbid going back, later would allow resuming twice. */
export const consumeRecord = (r: SavedRecord): void => go(r, 'consumed');
export const discardRecord = (r: SavedRecord): void => go(r, 'discarded');
