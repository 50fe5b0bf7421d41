import { createHash } from 'node:crypto';
import type { PhysicalFunctionState, VirtualFunction } from './devices/physical-function';
import { commitMarker, type AdapterBlocks, type SavedRecord } from './devices/runtime-repository';
import type { AdapterState, Successor, VmState } from './state';

/**
 * Hosts that were made when each had one PF, and each VM one adapter, are read as what they are in the present form: a
 * fleet directory, or a recorded run, outlives the version of holdfast that made it.
 */

/** The only adapter that such a VM has. */
const ONLY = 'nic-0';

type OneAdapterRecord = Omit<SavedRecord, 'blocks'> & {
  readonly blocks: Omit<AdapterBlocks, 'withoutVf'> & Pick<SavedRecord['blocks'], 'vmState'>;
  readonly withoutVf: string | null;
};

type Moved =
  | 'macAddress'
  | 'nic'
  | 'vpci'
  | 'custody'
  | 'configuredIovWeight'
  | 'identityBefore'
  | 'vfAbandoned'
  | 'before'
  | 'pathReason';

interface OneAdapterVm
  extends
    Omit<VmState, 'adapters' | 'successor' | 'record' | 'path' | Moved>,
    Pick<AdapterState, Moved> {
  readonly adapter: AdapterState['vdev'];
  readonly guest: Omit<AdapterState['guest'], 'otherPath'> & { readonly hangs?: boolean };
  readonly successor:
    (Omit<Successor, 'vdevs'> & { readonly adapter: AdapterState['vdev'] }) | null;
  readonly record: OneAdapterRecord | null;
  readonly restored: { readonly vfState: boolean; readonly vmState: boolean };
  readonly path: AdapterState['path'] | VmState['path'];
}

const isPresent = (stored: object): stored is VmState => 'adapters' in stored;

export function presentVm(stored: unknown): VmState {
  if (isPresent(stored as object)) return stored as VmState;
  const {
    adapter: vdev,
    guest: { hangs = false, ...guest },
    successor,
    record,
    restored,
    path,
    macAddress,
    nic,
    vpci,
    custody,
    configuredIovWeight,
    identityBefore,
    vfAbandoned,
    before,
    pathReason,
    ...vm
  } = stored as OneAdapterVm;
  const ofVm = path === 'restarted' || path === 'stranded';
  const adapter: AdapterState = {
    adapterId: ONLY,
    kind: 'network',
    pfId: 'pf-0',
    wantsVf: true,
    macAddress,
    vdev,
    nic,
    vpci,
    guest: { ...guest, otherPath: 'synthetic' },
    custody,
    configuredIovWeight,
    identityBefore,
    vfStateRestored: restored.vfState,
    vfAbandoned,
    before,
    path: ofVm ? 'kept' : path,
    pathReason: ofVm ? null : pathReason,
  };
  return {
    ...vm,
    adapters: [adapter],
    successor:
      successor === null
        ? null
        : { workerProcess: successor.workerProcess, vdevs: { [ONLY]: successor.adapter } },
    record: record === null ? null : presentRecord(record),
    guestHangs: hangs,
    vmStateRestored: restored.vmState,
    functionsGivenUpBy: null,
    path: ofVm ? path : 'kept',
    pathReason,
  };
}

/** A marker that was good over the earlier form is good over the present one; a bad one stays bad. */
function presentRecord({ withoutVf, ...earlier }: OneAdapterRecord): SavedRecord {
  const { vmState, ...blocks } = earlier.blocks;
  const record: SavedRecord = {
    ...earlier,
    blocks: {
      ...(vmState === undefined ? {} : { vmState }),
      adapters: { [ONLY]: { ...blocks, withoutVf } },
    },
  };
  const { recordVersion, vdevVersion, oldestReader, mode, commit } = earlier;
  const checksum = createHash('sha256')
    .update(JSON.stringify([recordVersion, vdevVersion, oldestReader, mode, earlier.blocks]))
    .digest('hex');
  const isWhole =
    commit?.checksum === checksum && commit.blockCount === Object.keys(earlier.blocks).length;
  if (isWhole) record.commit = commitMarker(record);
  return record;
}

type OnePf = Omit<PhysicalFunctionState, 'kind' | 'bus' | 'vfs'> & {
  readonly vfs: readonly Omit<VirtualFunction, 'adapterId'>[];
};

export function presentPfs(stored: unknown): readonly PhysicalFunctionState[] {
  if (Array.isArray(stored)) return stored as readonly PhysicalFunctionState[];
  const { vfs, ...pf } = stored as OnePf;
  return [
    { ...pf, kind: 'network', bus: '3b', vfs: vfs.map((vf) => ({ ...vf, adapterId: ONLY })) },
  ];
}
