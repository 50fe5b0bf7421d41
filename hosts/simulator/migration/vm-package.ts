import { createHash } from 'node:crypto';
import { z } from '../../../contract/zod';
import type { VmPackage } from '../../../contract/migration';
import { shiftMoments } from '../../engine/moments';
import { VM_MOMENTS } from '../moments';
import { refused } from '../../engine/refused';
import type { Objects, VmState } from '../state';

/** What the simulator puts into a package: the whole VM, since it is small. */
interface Content {
  /** By the source's clock. */
  readonly hostTimeMs: number;
  readonly vm: VmState;
}

const checksumOf = (content: string): string => createHash('sha256').update(content).digest('hex');

/** The guest's queues are in its memory; the emulated device is what was saved of it, and no more. */
export function packed(o: Objects): VmPackage {
  const { migration } = o.vm;
  if (migration === undefined) throw refused(`${o.vm.vmId} is not being migrated.`);
  const vm: VmState = structuredClone(o.vm);
  for (const { io } of vm.migration?.functions ?? []) io.paths.emulated = null;
  const content = JSON.stringify({ hostTimeMs: o.nowMs, vm } satisfies Content);
  return { migrationId: migration.migrationId, checksum: checksumOf(content), content };
}

const contentOf = z.looseObject({
  hostTimeMs: z.number(),
  vm: z.intersection(z.looseObject({ vmId: z.string() }), z.custom<VmState>()),
});

/** The VM of a package, with its moments by this host's clock; refused unless it is whole and of this migration. */
export function unpacked(given: VmPackage, migrationId: string, nowMs: number): VmState {
  if (given.migrationId !== migrationId) {
    throw refused(`The package is of ${given.migrationId}, not of ${migrationId}.`);
  }
  const checksum = checksumOf(given.content);
  if (checksum !== given.checksum) {
    throw refused(
      `The package of ${migrationId} is damaged: its checksum is ${checksum.slice(0, 12)}, not ${given.checksum.slice(0, 12)}.`,
    );
  }
  const { hostTimeMs, vm } = contentOf.parse(JSON.parse(given.content));
  shiftMoments<VmState>(vm, VM_MOMENTS, { host: nowMs - hostTimeMs, wall: 0 });
  return vm;
}
