import { MultiBar, Presets, type SingleBar } from 'cli-progress';
import { restoreFlow, saveFlow } from '../contract/flows';
import type { JournalEntry } from '../contract/host';
import type { HostDriver } from '../hosts/host-driver';

type Driver = Pick<HostDriver, 'describe' | 'readJournal'>;

/** How often the journal is read, ms. */
const REFRESH_MS = 100;
const MODIFIED = { mode: 'modified', virtualFunctionRestore: 'step-by-step' } as const;
/** Results of one VM in a servicing run, for the length of a bar: two leases, and every step but `concludeSave`. */
const STEPS = 2 + saveFlow(MODIFIED).length - 1 + restoreFlow(MODIFIED).length;

/**
 * Shows the steps of hosts as they happen, read from their own journals: no query and no hop of the run's. Bars on a
 * terminal, plain lines elsewhere, both on standard error, since standard output belongs to the result.
 */
export class LiveProgress {
  readonly #bars: MultiBar | undefined;
  readonly #barOf = new Map<string, SingleBar>();
  readonly #timer: NodeJS.Timeout;

  #reading: Promise<void> = Promise.resolve();

  private constructor(
    private readonly driver: Driver,
    /** How much of each host's journal was shown. */
    private readonly seen: Map<string, number>,
  ) {
    this.#bars = process.stderr.isTTY
      ? new MultiBar(
          {
            format: ' {vm} {bar} {step}',
            hideCursor: true,
            clearOnComplete: true,
            stream: process.stderr,
          },
          Presets.shades_classic,
        )
      : undefined;
    this.#timer = setInterval(() => {
      this.#readNext();
    }, REFRESH_MS);
  }

  /** From what these hosts do from now on. */
  static async start(driver: Driver, hostIds: readonly string[]): Promise<LiveProgress> {
    const seen = hostIds.map(
      async (hostId) => [hostId, (await driver.describe(hostId)).journalSeq] as const,
    );
    return new LiveProgress(driver, new Map(await Promise.all(seen)));
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#readNext();
    await this.#reading;
    this.#bars?.stop();
  }

  /** One reading after the other: none shows what another has shown. */
  #readNext(): void {
    this.#reading = this.#reading.then(() => this.#read());
  }

  async #read(): Promise<void> {
    for (const [hostId, afterSeq] of this.seen) {
      for (const entry of await this.driver.readJournal(hostId, { afterSeq, limit: 10_000 })) {
        this.seen.set(hostId, entry.seq);
        if (this.#bars === undefined) line(hostId, entry);
        else this.#advance(this.#bars, hostId, entry);
      }
    }
  }

  #advance(bars: MultiBar, hostId: string, { vmId, step, kind, command }: JournalEntry): void {
    const name = vmId === null ? hostId : `${hostId}/${vmId}`;
    const bar = this.#barOf.get(name) ?? bars.create(STEPS, 0, { vm: name.padEnd(16), step: '' });
    this.#barOf.set(name, bar);
    const text = kind === 'failed' ? `${step} failed, trying again` : step;
    if (kind === 'result' || kind === 'failed')
      bar.increment(kind === 'result' ? 1 : 0, { step: text });
    else if (kind === 'intent' || command !== null) bar.update({ step: text });
    if (vmId === null && step === 'verifyHost' && kind === 'result') this.#done(bars, hostId);
  }

  /** A host that is through makes room for the next. */
  #done(bars: MultiBar, hostId: string): void {
    for (const [name, bar] of this.#barOf) {
      if (name !== hostId && !name.startsWith(`${hostId}/`)) continue;
      bars.remove(bar);
      this.#barOf.delete(name);
    }
  }
}

/** Without a terminal only what matters is a line: dark, light again, failed. */
function line(hostId: string, { vmId, step, kind, detail, status }: JournalEntry): void {
  const who = vmId === null ? hostId : `${hostId}/${vmId}`;
  if (kind === 'result' && TOLD[step] !== undefined)
    process.stderr.write(`${who}: ${TOLD[step]}\n`);
  if (kind === 'failed')
    process.stderr.write(`${who}: ${step} failed (${status}): ${detail ?? ''}\n`);
}

const TOLD: Readonly<Record<string, string>> = {
  stageUpdate: 'update staged',
  pauseVm: 'paused',
  crossPointOfNoReturn: 'past the point of no return',
  commitUpdate: 'update committed',
  rollBackUpdate: 'update rolled back',
  resumeVm: 'runs again',
  detachHeldFunction: 'gave its VF up',
  switchDataPath: 'uses a VF again',
  takeForDeadMan: 'taken over by the host’s dead-man',
};
