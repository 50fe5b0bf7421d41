import type { CodeOfClaim } from './claims';

/** A quoted paragraph, or a claim, of US 2024/0256320, and where it is put into practice. Its tests name it: `Dawkins ¶56: …`. */
export interface Passage {
  readonly name: string;
  /** In one line and in the words that this repository uses. */
  readonly gist: string;
  readonly code: readonly CodeOfClaim[];
}

const FUNCTIONS = 'hosts/simulator/functions';
const code = (file: string, ...names: readonly string[]): CodeOfClaim[] =>
  names.map((name) => ({ file, name }));

export const PASSAGES: readonly Passage[] = [
  {
    name: '¶43',
    gist: 'Functions of several physical devices are shown to a VM as one.',
    code: code(`${FUNCTIONS}/composite.ts`, 'compositeDescription', 'partOf'),
  },
  {
    name: '¶50',
    gist: 'An intermediary stands before every command to a function, whoever sends it, and forwards or filters it.',
    code: [
      ...code('hosts/engine/commands.ts', 'issueCommand'),
      ...code(`${FUNCTIONS}/intermediary.ts`, 'intermediary'),
      ...code(`${FUNCTIONS}/host-commands.ts`, 'operationOfCommand'),
    ],
  },
  {
    name: '¶56',
    gist: 'Each VM has a private command channel to an emulated physical function of its own: that is its identity.',
    code: [
      ...code(`${FUNCTIONS}/command-function.ts`, 'channelOf'),
      ...code(`${FUNCTIONS}/entries.ts`, 'entryOfVm'),
    ],
  },
  {
    name: '¶62',
    gist: 'Remote functions are made, changed and removed by a controller, which enforces the policy.',
    code: code(`${FUNCTIONS}/controller.ts`, 'changeFunctions'),
  },
  {
    name: '¶68',
    gist: 'A function policy database has an entry for each function: id with a prefix for local or remote, device, owner, location, operations, policy (¶68–75; some of these fields are our inference).',
    code: [
      ...code(`${FUNCTIONS}/function-database.ts`, 'FunctionDatabase'),
      ...code('contract/functions.ts', 'addressOf'),
    ],
  },
  {
    name: '¶76',
    gist: 'A policy prohibits operations: power-cycling, allocating what is allocated, what would affect all VFs.',
    code: [
      ...code('hosts/function-policy/decide.ts', 'CompiledPolicy'),
      ...code('hosts/function-policy/must-deny.ts', 'MUST_DENY'),
    ],
  },
  {
    name: '¶78',
    gist: 'A command has an operation, input or the location of it, and a location for its output.',
    code: code(`${FUNCTIONS}/values.ts`, 'readInput', 'deliver'),
  },
  {
    name: '¶80',
    gist: 'A command names an emulated function.',
    code: code(`${FUNCTIONS}/entries.ts`, 'entryOf'),
  },
  {
    name: '¶108',
    gist: 'The worked example: a VM asks for 7.5 Gbps for its VF, which has 5.',
    code: [
      ...code(`${FUNCTIONS}/operations.ts`, 'onFunction'),
      ...code('hosts/simulator/devices/bandwidth.ts', 'reallocateBandwidth'),
    ],
  },
  {
    name: 'claim 1',
    gist: 'The flow: resolve the id, find the entry, reject what violates the policy, else forward it to PF or VF, or to the remote device, wait, and return the answer.',
    code: [
      ...code('workflows/command-function.ts', 'commandFunction', 'performedElsewhere'),
      ...code(`${FUNCTIONS}/command-function.ts`, 'commandFunction', 'returnRemoteAnswer'),
    ],
  },
];
