import type { HoldfastError } from '../../../contract/failures';
import type {
  FunctionAnswer,
  FunctionCommandRequest,
  FunctionDecision,
  RemoteAnswer,
} from '../../../contract/functions';
import { issueCommand } from '../../engine/commands';
import type { Port } from '../../engine/port';
import type { HostState, Objects } from '../state';
import type { SimulatorStore } from '../store';
import { compositeDescription, partOf } from './composite';
import type { Allowed } from './decision';
import { entryOf } from './entries';
import type { FunctionEntry } from './function-database';
import { commandOf } from './host-commands';
import { intermediaryOfSent, type SentCommand } from './intermediary';
import { onController, onFunction } from './operations';
import { deliver, readInput, type Output } from './values';

const STEP = 'commandFunction';

/**
 * What the intermediary of one host does with a command (US 2024/0256320, claim 1): it resolves the id, finds the entry,
 * asks the policy, and forwards it to the PF or VF, or says at which other host the device is. Repeated by the same run it
 * answers as before.
 */
export function commandFunction(
  { store, port }: { readonly store: SimulatorStore; readonly port: Port<Objects> },
  request: FunctionCommandRequest,
): FunctionAnswer {
  const { hostId, command, sender } = request;
  const key = keyOf(request);
  const known = store.functions.answer(hostId, key);
  if (known !== undefined) return known;
  const callerVmId = channelOf(store, request);
  const input = readInput(store, request);
  let entry = entryOf(store, hostId, command.functionId, ownOnly(sender));
  const decisions: FunctionDecision[] = [];
  const sent = (): SentCommand => ({
    caller: sender.kind,
    ...(sender.kind === 'remoteHost' ? { callerHost: sender.hostId } : {}),
    callerVmId,
    entry,
    operation: command.operation,
    ...('vfId' in input && input.vfId !== undefined ? { vfId: input.vfId } : {}),
  });
  const decided = (decision: Allowed): FunctionDecision => ({
    hostId,
    functionId: entry.functionId,
    operation: command.operation,
    rule: decision.rule,
    policyVersion: decision.policyVersion,
  });
  const answered = (answer: FunctionAnswer): FunctionAnswer => {
    store.functions.putAnswer(hostId, key, answer);
    return answer;
  };
  const performed = (output: Output, decision: Allowed): FunctionAnswer =>
    answered({
      kind: 'performed',
      output: deliver(store, request, output),
      decisions: [...decisions, decided(decision)],
    });

  if (entry.kind === 'composite') {
    const composite = entry;
    const isWhole = command.operation === 'describeFunction' && input.part === undefined;
    // Whoever may not command it is not told what it is made of.
    const next = consulted(store, request, sent(), (_host, decision) => {
      if (isWhole) return performed(compositeDescription(store, hostId, composite), decision);
      decisions.push(decided(decision));
      return partOf(store, hostId, composite, command.operation, input);
    });
    if ('decisions' in next) return next;
    entry = next;
  }
  switch (entry.kind) {
    case 'remote': {
      const { location } = entry;
      const { part: _, ...forwarded } = input;
      return consulted(store, request, sent(), (_host, decision) =>
        answered({
          kind: 'elsewhere',
          hostId: location.hostId,
          command: {
            functionId: location.functionId,
            operation: command.operation,
            input: forwarded,
          },
          sender: { kind: 'remoteHost', hostId, vmId: callerVmId },
          decisions: [...decisions, decided(decision)],
        }),
      );
    }
    case 'controller':
      return consulted(store, request, sent(), (_host, decision) =>
        performed(onController(store, hostId, command.operation, input), decision),
      );
    default: {
      const { ownerVmId } = entry;
      if (ownerVmId === null) throw new TypeError(`${entry.functionId} has no owner`);
      const by = sent();
      const target = { hostId, vmId: ownerVmId, step: STEP, generation: 0, by };
      const issued = commandOf(command.operation, kindOfDevice(store, hostId, entry));
      return issueCommand({ store, port }, target, null, issued, (o, says, decision) => {
        says(said(by));
        if (decision?.effect !== 'allow') throw new TypeError(`${issued} was not decided on`);
        return performed(onFunction(store, o, by, input), decision);
      });
    }
  }
}

/** The answer of another host on its way back to the caller: written down here, and put where the caller wants it. */
export function returnRemoteAnswer(store: SimulatorStore, answer: RemoteAnswer): FunctionAnswer {
  const { hostId, command, outcome, deviceHostId } = answer;
  const key = `${keyOf(answer)}/returned`;
  const known = store.functions.answer(hostId, key);
  if (known !== undefined) return known;
  const { ownerVmId } = entryOf(store, hostId, command.functionId);
  return store.updateHost(hostId, ({ host }) => {
    const returned = 'output' in outcome;
    store.append(host, {
      vmId: ownerVmId,
      step: 'returnRemoteAnswer',
      generation: 0,
      kind: 'command',
      command: commandOf(command.operation),
      status: returned ? 'returned' : 'failed',
      detail: `${command.functionId}, by ${deviceHostId}${returned ? '' : `: ${outcome.failure}`}`,
    });
    const output = returned ? deliver(store, answer, outcome.output) : null;
    const back: FunctionAnswer = { kind: 'performed', output, decisions: [] };
    store.functions.putAnswer(hostId, key, back);
    return back;
  });
}

const kindOfDevice = (store: SimulatorStore, hostId: string, { deviceId }: FunctionEntry) =>
  store.pfs(hostId).find(({ pfId }) => pfId === deviceId)?.kind;

/** Under which a command is answered once. */
export const keyOf = ({ run, sender }: Pick<FunctionCommandRequest, 'run' | 'sender'>): string =>
  `${run.workflowId}/${run.runId}${sender.kind === 'remoteHost' ? `/for ${sender.hostId}` : ''}`;

/** The VM whose private command channel it came through: that is the caller's identity, whatever the command says. */
function channelOf(
  store: SimulatorStore,
  { hostId, sender }: FunctionCommandRequest,
): string | null {
  switch (sender.kind) {
    case 'operator':
      return null;
    case 'vm':
      return store.vm(hostId, sender.vmId).vmId;
    case 'remoteHost':
      // Not a VM of this host, whatever its name is.
      return null;
  }
}

/** Whose functions a caller is told of, if it names one that there is not; null: of all. */
const ownOnly = (sender: FunctionCommandRequest['sender']): string | null =>
  sender.kind === 'operator' ? null : sender.kind === 'vm' ? sender.vmId : sender.hostId;

/** Who wants what of which function, for the journal. */
const said = ({ caller, callerHost, callerVmId, entry, operation }: SentCommand): string =>
  `${operation} of ${entry.functionId} for ${callerVmId ?? callerHost ?? caller}`;

/** Asks the policy about a function without a VF on this host, and goes on in the same transaction. */
function consulted<T>(
  store: SimulatorStore,
  { hostId, command }: Pick<FunctionCommandRequest, 'hostId' | 'command'>,
  sent: SentCommand,
  goOn: (host: HostState, decision: Allowed) => T,
): T {
  const issued = commandOf(command.operation);
  const journal = (host: HostState, status: string, detail: string, rule: string) => {
    store.append(host, {
      vmId: sent.entry.ownerVmId,
      step: STEP,
      generation: 0,
      kind: 'command',
      command: issued,
      status,
      detail,
      rule,
    });
  };
  let rule = '';
  let answer: { readonly value: T } | { readonly error: HoldfastError };
  try {
    answer = store.updateHost(hostId, ({ host }) => {
      const decision = intermediaryOfSent(store, null, sent, issued);
      ({ rule } = decision);
      if (decision.effect === 'deny') {
        journal(host, 'denied', decision.error.message, rule);
        return { error: decision.error };
      }
      const value = goOn(host, decision);
      journal(host, sent.entry.kind === 'remote' ? 'forwarded' : 'done', said(sent), rule);
      return { value };
    });
  } catch (error) {
    store.updateHost(hostId, ({ host }) => {
      journal(host, 'refused', error instanceof Error ? error.message : String(error), rule);
    });
    throw error;
  }
  if ('error' in answer) throw answer.error;
  return answer.value;
}
