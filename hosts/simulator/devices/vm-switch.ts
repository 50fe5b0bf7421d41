import { refused } from '../../engine/refused';
import { move, type LegalMoves } from '../legal-moves';

/** An adapter's NIC at the VM switch. It stays connected through a modified save; only the VDEV goes. */
export interface SwitchNicState {
  state: NicPhase;
  saving: SavePhase;
  /** Which extension the NIC_SAVE loop has reached. */
  nextExtension: number;
  blobs: SwitchBlob[];
  restored: string[];
}
export interface SwitchBlob {
  readonly extensionId: string;
  readonly bytes: number;
}
type NicPhase = 'created' | 'connected' | 'disconnected' | 'deleted';
type SavePhase = 'none' | 'saving' | 'saved' | 'restoring';

const MOVES: LegalMoves<NicPhase> = {
  created: ['connected', 'deleted'],
  connected: ['disconnected'],
  disconnected: ['deleted', 'connected'],
  deleted: ['created'],
};
/** Saves (and restores) of one NIC never interleave. */
const SAVE_MOVES: LegalMoves<SavePhase> = {
  none: ['saving', 'restoring'],
  saving: ['saved', 'none'],
  saved: ['none', 'restoring'],
  restoring: ['none'],
};

const savePhase = (nic: SwitchNicState, to: SavePhase) => {
  nic.saving = move('save of the switch NIC', SAVE_MOVES, nic.saving, to);
};

/** Buffer the protocol edge offers first; an extension with more data answers BUFFER_TOO_SHORT. */
const FIRST_BUFFER_BYTES = 256;

export function startNicSave(nic: SwitchNicState): void {
  if (nic.state !== 'connected') throw refused(`A ${nic.state} switch NIC cannot be saved.`);
  savePhase(nic, 'saving');
  nic.nextExtension = 0;
  nic.blobs = [];
}

/**
 * One issue of OID_SWITCH_NIC_SAVE, in NDIS's statuses: an extension fills its data (`SUCCESS`, the OID is issued
 * again), asks for a larger buffer (`BUFFER_TOO_SHORT`), or none has data left (`FORWARDED` to the miniport edge).
 */
export function issueNicSave(
  nic: SwitchNicState,
  extensions: readonly { readonly extensionId: string; readonly dataBytes: number }[],
  bufferBytes = FIRST_BUFFER_BYTES,
): { status: 'SUCCESS' | 'BUFFER_TOO_SHORT' | 'FORWARDED'; bytesNeeded: number } {
  if (nic.saving !== 'saving') throw refused('OID_SWITCH_NIC_SAVE outside a save of this NIC.');
  const extension = extensions[nic.nextExtension];
  if (extension === undefined) return { status: 'FORWARDED', bytesNeeded: 0 };
  if (extension.dataBytes > bufferBytes) {
    return { status: 'BUFFER_TOO_SHORT', bytesNeeded: extension.dataBytes };
  }
  nic.blobs.push({ extensionId: extension.extensionId, bytes: extension.dataBytes });
  nic.nextExtension += 1;
  return { status: 'SUCCESS', bytesNeeded: 0 };
}

export const completeNicSave = (nic: SwitchNicState): void => savePhase(nic, 'saved');

/** Undo of a save: each extension gets its own data back. Settings did not change in between. */
export function abandonNicSave(nic: SwitchNicState): void {
  if (nic.saving !== 'none') savePhase(nic, 'none');
  nic.blobs = [];
}

export function startNicRestore(nic: SwitchNicState): void {
  if (nic.state !== 'connected') throw refused(`A ${nic.state} switch NIC cannot be restored.`);
  if (nic.saving !== 'restoring') savePhase(nic, 'restoring');
  nic.restored = [];
}

/** OID_SWITCH_NIC_RESTORE for one blob; `UNOWNED` when it reaches the miniport edge, which is a success too. */
export function restoreNicBlob(
  nic: SwitchNicState,
  blob: SwitchBlob,
  extensions: readonly { readonly extensionId: string }[],
): 'SUCCESS' | 'UNOWNED' {
  if (nic.saving !== 'restoring')
    throw refused('OID_SWITCH_NIC_RESTORE outside a restore of this NIC.');
  nic.restored.push(blob.extensionId);
  return extensions.some((e) => e.extensionId === blob.extensionId) ? 'SUCCESS' : 'UNOWNED';
}

/** A restore that did not come to its end is as if it had not begun: the extensions get their data once more. */
export function abandonNicRestore(nic: SwitchNicState): void {
  if (nic.saving === 'restoring') savePhase(nic, 'none');
  nic.restored = [];
}

export const completeNicRestore = (nic: SwitchNicState): void => savePhase(nic, 'none');

/** A NIC whose VF is assigned must not be disconnected: the VF would be taken off the switch under the guest. */
export function disconnectNic(nic: SwitchNicState, vfAssigned: boolean): void {
  if (vfAssigned)
    throw refused('The switch NIC cannot be disconnected while a VF is assigned to it.');
  nic.state = move('switch NIC', MOVES, nic.state, 'disconnected');
}
export const deleteNic = (nic: SwitchNicState): void => {
  nic.state = move('switch NIC', MOVES, nic.state, 'deleted');
};
export function createAndConnectNic(nic: SwitchNicState): void {
  nic.state = move('switch NIC', MOVES, nic.state, 'created');
  nic.state = move('switch NIC', MOVES, nic.state, 'connected');
  nic.saving = 'none';
}
