import { HoldfastError } from '../../contract/failures';
import { FUNCTION_COMMANDS } from './devices/physical-function';
import type { Allowed } from './functions/decision';
import {
  intermediary,
  intermediaryOfSent,
  noteHold,
  type SentCommand,
} from './functions/intermediary';
import { checkInvariants, recordBreaches } from './invariants';
import { ownsMailbox } from './mailbox';
import type { Intent, Objects, VmState } from './state';
import type { HostStore } from './store';

/** Commands that would lose a held VF. While the host has custody they are refused, and that they were tried is kept. */
const FORBIDDEN_IN_CUSTODY: ReadonlySet<string> = new Set([
  ...Object.values(FUNCTION_COMMANDS).flatMap(({ free, reset }) => [free, reset]),
  'OID_NIC_SWITCH_DELETE_VPORT',
  'OID_RECEIVE_FILTER_MOVE_FILTER',
  'VPCI.UnassignDevice',
  'VPCI.Eject',
  'VPCI.EjectComplete',
  'VMBus.RescindOffer',
  'SetIovWeight',
  'StopVm',
  'CheckpointVm',
  'MigrateVm',
]);

export interface CommandTarget {
  readonly hostId: string;
  readonly vmId: string;
  /** The adapter that it is for; absent if it is for the VM as a whole. */
  readonly adapterId?: string;
  readonly step: string;
  readonly generation: number;
  /** Who issues it: a step of the host itself, somebody else on it, or whoever sent a command to a function. Default: host. */
  readonly by?: 'host' | 'operator' | SentCommand;
  /** For the journal, when it is done. */
  readonly note?: string;
}

/** The hold that a command would meet: of its adapter, or of any where it is for the whole VM. */
const custodyOf = ({ adapters }: VmState, adapterId: string | undefined) =>
  adapters
    .filter((adapter) => adapterId === undefined || adapter.adapterId === adapterId)
    .map(({ custody }) => custody)
    .find((custody) => custody !== null && !custody.lost) ?? undefined;

/**
 * Issues one command to the simulated host: a transaction of its own, so that the process can die between any two.
 * It is journaled with its status, guarded by the custody of held VFs and by the function policy, each for itself, and the
 * invariants are checked after it.
 */
export function issueCommand<T>(
  store: HostStore,
  target: CommandTarget,
  intent: Intent | null,
  command: string,
  apply: (o: Objects, decision: Allowed | undefined) => T,
): T {
  const journal = (o: Objects, status: string, detail: string | null, rule?: string) => {
    const { vmId, adapterId, step, generation } = target;
    // A VM with one adapter has no need of its name.
    const adapter = o.vm.adapters.length > 1 && adapterId !== undefined ? { adapterId } : {};
    const decided = rule === undefined ? {} : { rule };
    const entry = { vmId, ...adapter, step, generation, command, status, detail, ...decided };
    store.append(o.host, { ...entry, kind: 'command' });
  };
  let rule: string | undefined;
  let answer: { value: T } | { error: unknown };
  try {
    answer = store.update(target.hostId, target.vmId, (o) => {
      if (intent !== null && !ownsMailbox(o, intent)) {
        throw new HoldfastError(
          'Fenced',
          `${target.step} of ${target.vmId} was overtaken by a newer attempt or generation before ${command}.`,
        );
      }
      const sent = typeof target.by === 'object';
      const held = FORBIDDEN_IN_CUSTODY.has(command)
        ? custodyOf(o.vm, target.adapterId)
        : undefined;
      // What tenants and operators ask for is answered by the policy: no bug of the host's that it tells them no.
      if (held !== undefined && !sent) {
        o.host.commands.forbidden += 1;
        const error = forbidden(o.vm, held, command);
        journal(o, 'forbidden', error.message, 'custody');
        return { error };
      }
      const decision = decisionOn(store, o, target, command);
      rule = decision?.rule;
      if (decision?.effect === 'deny') {
        if (decision.held && !sent) o.host.commands.forbidden += 1;
        journal(o, 'denied', decision.error.message, rule);
        return { error: decision.error };
      }
      if (held !== undefined) throw forbidden(o.vm, held, command);
      const value = apply(o, decision);
      if (decision !== undefined) noteHold(o.vm, target.adapterId, command);
      const breaches = checkInvariants(o, 'command');
      const detail = breaches.length === 0 ? (target.note ?? null) : breaches.join('; ');
      journal(o, breaches.length === 0 ? 'done' : 'breach', detail, rule);
      return breaches.length === 0
        ? { value }
        : {
            error: new HoldfastError(
              'InvariantBreach',
              `After ${command}: ${breaches.join('; ')}.`,
            ),
          };
    });
  } catch (error) {
    store.update(target.hostId, target.vmId, (o) => {
      // The command's own transaction is gone, and with it whatever it had noted.
      if (error instanceof HoldfastError && error.type === 'InvariantBreach') {
        recordBreaches(o.host, [error.message]);
      }
      journal(o, 'refused', error instanceof Error ? error.message : String(error), rule);
    });
    throw error;
  }
  if ('error' in answer) throw answer.error;
  return answer.value;
}

const forbidden = ({ vmId }: VmState, { vfId }: { readonly vfId: number }, command: string) =>
  new HoldfastError(
    'ForbiddenCommand',
    `${command} was refused: VF ${String(vfId)} of ${vmId} is held.`,
    { command },
  );

const decisionOn = (
  store: HostStore,
  o: Objects,
  { by = 'host', adapterId }: CommandTarget,
  command: string,
) =>
  typeof by === 'string'
    ? intermediary(store, o, { command, by, adapterId })
    : intermediaryOfSent(store, o, by, command);
