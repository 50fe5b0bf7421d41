import type { Performers } from './performers';
import type { CoreObjects } from './state';

/**
 * How long a VM has been dark: by the latest answer of a step as long as there is one, since a look at the VM at each turn
 * would cost its darkness.
 */
export class Darkness<O extends CoreObjects> {
  #answered: { readonly forMs: number; readonly atMs: number } | null = null;

  constructor(
    private readonly all: Performers<O>,
    private readonly vm: { readonly hostId: string; readonly vmId: string },
  ) {}

  /** 0: the VM is not dark. */
  get forMs(): number {
    const { hostId, vmId } = this.vm;
    const { store, port } = this.all;
    const nowMs = store.nowMs();
    const { forMs, atMs } = this.#answered ?? { forMs: 0, atMs: 0 };
    if (forMs > 0) return forMs + (nowMs - atMs);
    const { pausedAtMs } = port.image(store.vm(hostId, vmId));
    // A VM that was paused at this very moment is dark, too.
    return pausedAtMs === null ? 0 : Math.max(Number.MIN_VALUE, nowMs - pausedAtMs);
  }

  get isDark(): boolean {
    return this.forMs > 0;
  }

  /** A step has just been answered with this. */
  answered(forMs: number): void {
    this.#answered = { forMs, atMs: this.all.store.nowMs() };
  }

  /** What has happened since the latest answer is not known. */
  lookAgain(): void {
    this.#answered = null;
  }
}
