import type { Operation } from '../../contract/host';
import type { Mode } from '../../contract/inputs';

/** What this process knows of the operation on a VM that a description of the VM does not say. */
export interface KnownOperation {
  readonly mode: Mode;
  /** How long the VM may be dark in all, ms. */
  readonly allowedMs: number;
}

interface Known {
  operation?: KnownOperation;
  /** The blackout that `resumeVm` ended here, ms; null if its reply was lost, so that it did not say how long. */
  resumedMs?: number | null;
}

/**
 * The latest operation of each VM, as its lease was answered here, and the blackout that was ended here. Only in
 * memory: after a restart of the process an operation under way is unknown until it takes or renews its lease.
 */
export class KnownOperations {
  readonly #known = new Map<string, Known>();

  /** A save may leave its VM dark for `maxSavedFor`; a restore on its own has its budget from where it began. */
  begun(hostId: string, vmId: string, kind: 'save' | 'restore', operation: Operation): void {
    const { settings, inServicing, darkForMs } = operation;
    const apart = kind === 'save' ? settings.maxSavedForMs : darkForMs;
    this.#of(hostId, vmId).operation = {
      mode: settings.mode,
      allowedMs: settings.blackoutBudgetMs + (inServicing ? 0 : apart),
    };
  }

  /** A new generation for the same operation: what it may take stays as it is, where that is known. */
  fenced(hostId: string, vmId: string, operation: Operation): void {
    if (this.of(hostId, vmId) === undefined) this.begun(hostId, vmId, 'restore', operation);
  }

  of(hostId: string, vmId: string): KnownOperation | undefined {
    return this.#known.get(key(hostId, vmId))?.operation;
  }

  resumed(hostId: string, vmId: string, ms: number | null): void {
    this.#of(hostId, vmId).resumedMs = ms;
  }

  /** Whether a blackout of this length was ended by a step that this process performed, and not by someone else. */
  wasEndedHere(hostId: string, vmId: string, ms: number): boolean {
    const resumedMs = this.#known.get(key(hostId, vmId))?.resumedMs;
    return resumedMs === null || resumedMs === ms;
  }

  /** The VM runs and nobody holds it. */
  over(hostId: string, vmId: string): void {
    this.#known.delete(key(hostId, vmId));
  }

  #of(hostId: string, vmId: string): Known {
    const name = key(hostId, vmId);
    const known = this.#known.get(name) ?? {};
    this.#known.set(name, known);
    return known;
  }
}

const key = (hostId: string, vmId: string): string => `${hostId}/${vmId}`;
