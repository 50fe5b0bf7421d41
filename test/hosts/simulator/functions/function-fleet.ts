import type {
  FunctionAnswer,
  FunctionCommandRequest,
  FunctionOperation,
  FunctionSender,
} from '../../../../contract/functions';
import type { JournalEntry } from '../../../../contract/host';
import { HOST, SimulatedFleet } from '../simulated-fleet';

export const OPERATOR: FunctionSender = { kind: 'operator' };
export const channelOf = (vmId: string): FunctionSender => ({ kind: 'vm', vmId });

/** Hosts whose functions are sent commands by direct driver calls. */
export class FunctionFleet extends SimulatedFleet {
  #runs = 0;

  send(
    functionId: string,
    operation: FunctionOperation,
    input: Readonly<Record<string, unknown>> = {},
    { sender = OPERATOR, hostId = HOST, ...more }: Partial<FunctionCommandRequest> = {},
  ): Promise<FunctionAnswer> {
    this.#runs += 1;
    return this.hosts.commandFunction({
      hostId,
      command: { functionId, operation, input },
      sender,
      run: { workflowId: 'test', runId: String(this.#runs) },
      faults: [],
      ...more,
    });
  }

  /** What it answers by value. */
  async output(...sent: Parameters<FunctionFleet['send']>) {
    const answer = await this.send(...sent);
    if (answer.kind !== 'performed') throw new Error(`it is on ${answer.hostId}`);
    return answer.output;
  }

  /** What was decided, or refused by the device, since the entry of this number. */
  decisions(afterSeq = 0, hostId = HOST): Pick<JournalEntry, 'command' | 'status' | 'rule'>[] {
    return this.store
      .journal(hostId, afterSeq, 100_000)
      .flatMap(({ command, status, rule }) =>
        rule === undefined ? [] : [{ command, status, rule }],
      );
  }

  get seq(): number {
    return this.store.host(HOST).journalSeq;
  }
}
