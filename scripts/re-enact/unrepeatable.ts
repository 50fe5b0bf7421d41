import type { JournalEntry } from '../../contract/host';

/**
 * What a host's journal tells that no run can be made to repeat: attempts whose process was lost, a dead-man that was
 * quicker, and commands of others. A difference between the runs may come from there.
 */
export class Unrepeatable {
  /** The attempt of each step that has begun and has not been seen to end. */
  readonly #open = new Map<string, JournalEntry>();
  readonly #told: string[] = [];

  see(entry: JournalEntry): void {
    const { vmId, step, generation, kind, status, command } = entry;
    if (step === 'foreign' || step === 'commandFunction') {
      this.#told.push(
        `Somebody else issued ${command ?? 'a command'} to ${vmId ?? 'the host'} (${status}).`,
      );
      return;
    }
    if (step === 'takeForDeadMan')
      this.#told.push(
        `The host’s dead-man brought ${vmId ?? 'a VM'} back, whose deadline had passed.`,
      );
    const key = `${vmId ?? ''}/${String(generation)}/${step}`;
    if (kind === 'result' || kind === 'failed') this.#open.delete(key);
    if (kind !== 'intent') return;
    const lost = this.#open.get(key);
    // A reply that a fault lost leaves its attempt open as well, and is lost again.
    if (lost !== undefined && lost.detail !== 'fault fail-after') {
      this.#told.push(
        `An attempt of ${step}${vmId === null ? '' : ` of ${vmId}`} ended without an answer, as when its process is killed.`,
      );
    }
    this.#open.set(key, entry);
  }

  told(): readonly string[] {
    return [...new Set(this.#told)];
  }
}
