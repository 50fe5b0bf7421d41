import { z } from './zod';
import { duration } from './durations';
import { name, vmId, type Holder } from './ids';

/**
 * Emulated functions and the commands that are sent to them. `local:host-01/epf-vm-01` tells at a glance that its device
 * is on the host it names; `remote:host-01/storage` is a function of host-01 whose device is on another host. Both are
 * resolved by the intermediary of the host in the id.
 */
const FUNCTION_ID =
  /^(local|remote):([A-Za-z0-9][A-Za-z0-9._-]{0,62})\/([A-Za-z0-9][A-Za-z0-9._-]{0,129})$/;

const idOfFunction = (what: string) =>
  z
    .string(`${what} must be a string such as "local:host-01/epf-vm-01"`)
    .check(
      z.regex(
        FUNCTION_ID,
        `${what} must be local:<host>/<name> or remote:<host>/<name>, such as "local:host-01/epf-vm-01"`,
      ),
    );
const idOfLocalFunction = (what: string) =>
  idOfFunction(what).check(z.startsWith('local:', `${what} must be a local: function of its host`));
export const functionId = idOfFunction('functionId');

export interface FunctionAddress {
  readonly where: 'local' | 'remote';
  readonly hostId: string;
  readonly name: string;
}

/** The parts of an id that was validated. */
export function addressOf(id: string): FunctionAddress {
  const [, where, host, functionName] = FUNCTION_ID.exec(id) ?? [];
  if ((where !== 'local' && where !== 'remote') || host === undefined || functionName === undefined)
    throw new TypeError(`"${id}" is no function id`);
  return { where, hostId: host, name: functionName };
}

/**
 * The emulated physical function of a VM on its first PF; a VM with VFs of several PFs has one on each of them. The VM's
 * private command channel leads to these.
 */
export const emulatedFunctionOf = (host: string, vm: string, otherPf?: string): string =>
  `local:${host}/epf-${vm}${otherPf === undefined ? '' : `.${otherPf}`}`;
/** The function through which remote and composite functions of a host are made, changed and removed. */
export const controllerOf = (host: string): string => `local:${host}/controller`;

/** What a function that is emulated on a device can be asked for. */
export const DEVICE_OPERATIONS = [
  'describeFunction',
  'listFunctions',
  'allocateVirtualFunction',
  'freeVirtualFunction',
  'resetVirtualFunction',
  'unassignVirtualFunction',
  'reallocateVirtualFunction',
  'setAllVirtualFunctions',
  'powerCycleDevice',
] as const;

/** What only the controller of a host can be asked for. */
export const CONTROLLER_OPERATIONS = [
  'createRemoteFunction',
  'changeRemoteFunction',
  'removeRemoteFunction',
  'createCompositeFunction',
  'removeCompositeFunction',
] as const;

/** What a person or a VM can ask of a function. */
export const FUNCTION_OPERATIONS = [...DEVICE_OPERATIONS, ...CONTROLLER_OPERATIONS] as const;
export type FunctionOperation = (typeof FUNCTION_OPERATIONS)[number];

/** What the steps of a save or restore do to a function besides. Nobody can ask for these by a command. */
export const SERVICING_OPERATIONS = [
  'holdVirtualFunction',
  'releaseVirtualFunction',
  'readVirtualFunction',
  'saveVirtualFunctionState',
  'resetVpciBus',
  'createVpciBus',
  'assignVirtualFunction',
  'restoreVirtualFunctionState',
  'markVirtualFunctionAssigned',
  'createVPort',
  'deleteVPort',
  'moveReceiveFilter',
  'attachNamespace',
  'changePathState',
  'offerVirtualFunction',
  'setIovWeight',
] as const;
export type ServicingOperation = (typeof SERVICING_OPERATIONS)[number];

/** Everything that a function policy decides on. */
export const POLICED_OPERATIONS = [...FUNCTION_OPERATIONS, ...SERVICING_OPERATIONS] as const;
export type PolicedOperation = FunctionOperation | ServicingOperation;

/** A share of the PF's bandwidth in Gbps, above 0, at most 10,000. */
const bandwidthGbps = z
  .number('bandwidthGbps must be a number of Gbps such as 7.5')
  .check(z.positive(), z.maximum(10_000));
/** The VF by its number on the PF. Default: the one that the function has; of several, one must be named. */
const vfId = z.optional(z.int().check(z.minimum(0), z.maximum(65_535)));
/** Of a composite function: which of its parts is meant. */
const part = z.optional(name('part', 'storage'));
const functionName = name('name', 'storage');
const policyName = z.optional(name('policy', 'default'));
const allowedOperations = z.optional(
  z.array(z.enum(FUNCTION_OPERATIONS)).check(z.minLength(1), z.maxLength(50)),
);

/** The input of each operation. `part` everywhere: any function may turn out to be a composite one. */
export const FUNCTION_INPUTS = {
  describeFunction: z.strictObject({ part }),
  listFunctions: z.strictObject({ part }),
  allocateVirtualFunction: z.strictObject({ bandwidthGbps: z.optional(bandwidthGbps), part }),
  freeVirtualFunction: z.strictObject({ vfId, part }),
  resetVirtualFunction: z.strictObject({ vfId, part }),
  unassignVirtualFunction: z.strictObject({ vfId, part }),
  reallocateVirtualFunction: z.strictObject({ vfId, bandwidthGbps, part }),
  setAllVirtualFunctions: z.strictObject({ bandwidthGbps: z.optional(bandwidthGbps), part }),
  powerCycleDevice: z.strictObject({ part }),
  createRemoteFunction: z.strictObject({
    /** It becomes `remote:<this host>/<name>`. */
    name: functionName,
    /** Where the device is: a local function of another host. */
    deviceFunctionId: idOfLocalFunction('deviceFunctionId'),
    /** The VM of this host that uses it. Default: none, so that only operators command it. */
    ownerVmId: z.optional(vmId),
    /** Default: describe and re-allocate. */
    allowedOperations,
    /** One of the policies of the policy file. Default: `default`. */
    policy: policyName,
  }),
  changeRemoteFunction: z.strictObject({
    name: functionName,
    deviceFunctionId: z.optional(idOfLocalFunction('deviceFunctionId')),
    /** null: no VM any more. */
    ownerVmId: z.optional(z.nullable(vmId)),
    allowedOperations,
    policy: policyName,
  }),
  removeRemoteFunction: z.strictObject({ name: functionName }),
  createCompositeFunction: z.strictObject({
    /** It becomes `local:<this host>/<name>`. */
    name: functionName,
    ownerVmId: vmId,
    parts: z
      .array(z.strictObject({ part: name('part', 'storage'), functionId }))
      .check(z.minLength(1), z.maxLength(16)),
    policy: policyName,
  }),
  removeCompositeFunction: z.strictObject({ name: functionName }),
} as const satisfies Readonly<Record<FunctionOperation, z.ZodMiniType>>;
export type FunctionInput<Operation extends FunctionOperation> = z.output<
  (typeof FUNCTION_INPUTS)[Operation]
>;

/** A buffer of the caller: memory of the VM, or a place of the operator's; the simulator keeps it beside the host. */
const location = (what: string) => z.optional(name(what, 'buffer-1'));

/** Exercises on simulated hosts: what each host that the command comes to meets at its first attempts. */
const faults = z._default(
  z
    .array(
      z.strictObject({
        /** The reply is lost after the effect; it fails before it; it takes `delay` longer. */
        kind: z.enum(['fail-after', 'fail-before', 'slow']),
        /** How many attempts meet it, 1-100; default 1. */
        times: z._default(z.int().check(z.minimum(1), z.maximum(100)), 1),
        /** For `slow`; default 2s. */
        delay: z._default(duration({ min: '1ms', max: '5s' }), '2s'),
      }),
    )
    .check(z.maxLength(10)),
  [],
);

export const commandFunctionInput = z
  .strictObject({
    functionId,
    operation: z.enum(FUNCTION_OPERATIONS),
    /** The operation's input by value. Default: {}. */
    input: z.optional(z.record(z.string(), z.unknown())),
    /** The operation's input by location: the name of a buffer of the caller. */
    inputLocation: location('inputLocation'),
    /** Where the output goes instead of into the result: the name of a buffer of the caller. */
    outputLocation: location('outputLocation'),
    /** Send it through this VM's private command channel. Default: an operator sends it. */
    vmId: z.optional(vmId),
    faults,
  })
  .check(
    z.refine((i) => i.input === undefined || i.inputLocation === undefined, {
      error: 'give the input by value or by location, not both',
      path: ['inputLocation'],
    }),
  );
export type CommandFunctionInput = z.input<typeof commandFunctionInput>;

export interface FunctionCommand {
  readonly functionId: string;
  readonly operation: FunctionOperation;
  /** By value; undefined where a location is given. */
  readonly input?: Readonly<Record<string, unknown>> | undefined;
  readonly inputLocation?: string | undefined;
  readonly outputLocation?: string | undefined;
}

/**
 * By which way a command came. A VM's private channel is its identity: what the command itself says of its sender does
 * not count. `remoteHost`: from the intermediary of another host, for its VM or its operator.
 */
export type FunctionSender =
  | { readonly kind: 'operator' }
  | { readonly kind: 'vm'; readonly vmId: string }
  | { readonly kind: 'remoteHost'; readonly hostId: string; readonly vmId: string | null };

/** A command as it reaches the intermediary of one host. The run is its key: repeated, it is answered as before. */
export interface FunctionCommandRequest {
  readonly hostId: string;
  readonly command: FunctionCommand;
  readonly sender: FunctionSender;
  readonly run: Holder;
  readonly faults: z.output<typeof faults>;
}

/** One decision of an intermediary, as its journal has it. */
export interface FunctionDecision {
  readonly hostId: string;
  readonly functionId: string;
  readonly operation: FunctionOperation;
  /** The rule that allowed it. */
  readonly rule: string;
  readonly policyVersion: string;
}

/** `performed`: here. `elsewhere`: the device is at another host, and this is the command for its intermediary. */
export type FunctionAnswer =
  | {
      readonly kind: 'performed';
      /** null where it went to `outputLocation`. */
      readonly output: Readonly<Record<string, unknown>> | null;
      readonly decisions: readonly FunctionDecision[];
    }
  | {
      readonly kind: 'elsewhere';
      readonly hostId: string;
      readonly command: FunctionCommand;
      readonly sender: FunctionSender;
      readonly decisions: readonly FunctionDecision[];
    };

/** What came of a command at the host of the device, on its way back through the intermediary that it was sent to. */
export interface RemoteAnswer extends Omit<FunctionCommandRequest, 'faults'> {
  readonly deviceHostId: string;
  readonly outcome:
    { readonly output: Readonly<Record<string, unknown>> } | { readonly failure: string };
}

export interface CommandFunctionResult {
  readonly functionId: string;
  readonly operation: FunctionOperation;
  readonly outcome: 'performed';
  /** The host whose PF or VF performed it. */
  readonly performedAt: string;
  readonly output: Readonly<Record<string, unknown>> | null;
  readonly outputLocation: string | null;
  /** Every decision on the way, in its order. */
  readonly decisions: readonly FunctionDecision[];
}
