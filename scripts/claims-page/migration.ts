import type { VmStep } from '../../contract/steps';
import type { CodeOfClaim } from './claims';

/** A block of FIG. 5 or FIG. 6 of US 2023/0153140, or a paragraph of it, and where it is put into practice. */
export interface PartOfMigration {
  readonly what: 'block' | 'paragraph';
  readonly number: number;
  /** In one line and in the words that this repository uses; the publication has its own. */
  readonly gist: string;
  /** In the order in which the workflow performs them. */
  readonly steps: readonly VmStep[];
  readonly code: readonly CodeOfClaim[];
}

const WORKFLOW = 'workflows/migrate-vm.ts';
const SOURCE = 'hosts/simulator/migration/source.ts';
const DESTINATION = 'hosts/simulator/migration/destination.ts';
const IO = 'hosts/simulator/devices/guest-io.ts';
const FIT = 'contract/migration-fit.ts';

const part =
  (what: PartOfMigration['what']) =>
  (
    number: number,
    gist: string,
    steps: readonly VmStep[],
    ...code: readonly (readonly [file: string, name: string])[]
  ): PartOfMigration => ({
    what,
    number,
    gist,
    steps,
    code: code.map(([file, name]) => ({ file, name })),
  });
const block = part('block');
const paragraph = part('paragraph');

export const MIGRATION: readonly PartOfMigration[] = [
  block(
    502,
    'It starts, with the destination checked and functions kept there.',
    ['reserveFunctions'],
    [WORKFLOW, 'checkDestination'],
    [DESTINATION, 'reserveFunctions'],
  ),
  block(
    504,
    'A paravirtual device on VF1 is plugged in.',
    ['plugEmulatedPath'],
    [SOURCE, 'plugEmulatedPath'],
  ),
  block(
    506,
    'New commands go by the emulated path.',
    ['switchToEmulatedPath'],
    [SOURCE, 'switchToEmulatedPath'],
    [IO, 'preferPath'],
  ),
  block(
    508,
    'Until the hypervisor has verified that every earlier command on VF0 has completed, it looks again.',
    ['drainPassthrough'],
    [SOURCE, 'drainPassthrough'],
    [SOURCE, 'verifyCompletions'],
  ),
  block(510, 'Passthrough is unplugged.', ['unplugPassthrough'], [SOURCE, 'unplugPassthrough']),
  block(
    512,
    'The state of the emulated device is saved (and again after the suspension).',
    ['saveEmulatedDevice', 'suspendVm'],
    [SOURCE, 'saveEmulatedDevice'],
    [IO, 'saveEmulated'],
  ),
  block(
    514,
    'The destination exposes VF0′ and VF1′, one for each.',
    ['exposeFunctions'],
    [DESTINATION, 'exposeFunctions'],
    [FIT, 'fit'],
  ),
  block(
    516,
    'The VM is suspended, transferred, and resumed on the emulated path of the destination.',
    ['suspendVm', 'receiveVm', 'relinquishVm', 'resumeMigratedVm'],
    [WORKFLOW, 'crossOver'],
    [SOURCE, 'relinquishVm'],
    [DESTINATION, 'resumeMigratedVm'],
  ),
  block(
    518,
    'Passthrough is established at the destination, and I/O moves to it.',
    ['plugPassthrough', 'switchToPassthrough'],
    [WORKFLOW, 'returnToPassthrough'],
    [DESTINATION, 'plugPassthrough'],
  ),
  block(
    520,
    'The emulated path ends.',
    ['unplugEmulatedPath'],
    [DESTINATION, 'unplugEmulatedPath'],
  ),
  block(
    522,
    'It ends, with nothing of the VM left at its source.',
    ['releaseMigratedVm', 'verifyMigration'],
    [SOURCE, 'releaseMigratedVm'],
    [DESTINATION, 'verifyMigration'],
  ),
  block(
    604,
    'A second controller of the same subsystem and namespace appears: non-optimized, while passthrough is optimized.',
    ['plugEmulatedPath'],
    [SOURCE, 'plugEmulatedPath'],
    [IO, 'chosenPath'],
  ),
  block(
    606,
    'The access states are flipped.',
    ['switchToEmulatedPath'],
    [SOURCE, 'switchToEmulatedPath'],
    [IO, 'preferPath'],
  ),
  block(
    608,
    'The passthrough path is drained.',
    ['drainPassthrough'],
    [SOURCE, 'drainPassthrough'],
  ),
  block(
    610,
    'It becomes inaccessible and is unplugged.',
    ['unplugPassthrough'],
    [SOURCE, 'unplugPassthrough'],
    [IO, 'setAccess'],
  ),
  block(
    612,
    'The state of the emulated controller is saved.',
    ['saveEmulatedDevice'],
    [SOURCE, 'saveEmulatedDevice'],
  ),
  block(
    614,
    'The destination exposes both controllers with the namespace.',
    ['exposeFunctions'],
    [DESTINATION, 'exposeFunctions'],
    [FIT, 'corresponds'],
  ),
  paragraph(
    8,
    'Passthrough at the destination comes after communication has been resumed by the emulated path.',
    ['resumeMigratedVm', 'plugPassthrough'],
    [WORKFLOW, 'goForward'],
  ),
  paragraph(
    27,
    'The state of the VM goes to the destination, which goes on executing it.',
    ['suspendVm', 'receiveVm'],
    ['hosts/simulator/migration/vm-package.ts', 'packed'],
    ['hosts/simulator/migration/vm-package.ts', 'unpacked'],
  ),
  paragraph(
    29,
    'VF0 and VF1 are allocated to the same VM.',
    ['plugEmulatedPath'],
    ['hosts/simulator/migration/functions.ts', 'ownerOf'],
  ),
  paragraph(
    31,
    'Verified by the hypervisor, then unplugged, then saved.',
    ['drainPassthrough', 'unplugPassthrough', 'saveEmulatedDevice'],
    [WORKFLOW, 'leavePassthrough'],
  ),
  paragraph(
    32,
    'The functions of the destination correspond to those of the source; commands go by the emulated path when the VM is resumed.',
    ['exposeFunctions', 'resumeMigratedVm'],
    [FIT, 'fit'],
    [DESTINATION, 'exposeFunctions'],
  ),
  paragraph(
    33,
    'The end of the emulated path is optional: keepEmulatedPath.',
    ['unplugEmulatedPath'],
    [WORKFLOW, 'returnToPassthrough'],
  ),
  paragraph(
    38,
    'By NQN and namespace id the guest finds that two controllers lead to one namespace.',
    ['plugEmulatedPath'],
    ['hosts/simulator/migration/functions.ts', 'namespaceOf'],
    [IO, 'plugPath'],
  ),
  paragraph(
    41,
    'Both controllers and the namespace are exposed, and the VM goes on by the emulated controller.',
    ['saveEmulatedDevice', 'exposeFunctions', 'resumeMigratedVm'],
    [DESTINATION, 'exposeFunctions'],
    [DESTINATION, 'connect'],
  ),
];
