import { MultiBar, Presets, type SingleBar } from 'cli-progress';
import type { JournalEntry } from '../contract/host';
import type { HostStore } from '../hosts/simulator/store';

/** How often the journal is read, ms. */
const REFRESH_MS = 100;
/** Steps of a modified save and restore, for the length of a bar. */
const STEPS = 26;

/**
 * Shows a host's steps as they happen, read from its own journal: no query and no hop of the run's. Bars on a
 * terminal, plain lines elsewhere, both on standard error, since standard output belongs to the result.
 */
export class LiveProgress {
  readonly #bars: MultiBar | undefined;
  readonly #barOf = new Map<string, SingleBar>();
  readonly #timer: NodeJS.Timeout;
  #seen: number;

  constructor(
    private readonly store: HostStore,
    private readonly hostId: string,
  ) {
    this.#seen = store.host(hostId).journalSeq;
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
      this.#read();
    }, REFRESH_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#read();
    this.#bars?.stop();
  }

  #read(): void {
    for (const entry of this.store.journal(this.hostId, this.#seen, 10_000)) {
      this.#seen = entry.seq;
      if (this.#bars === undefined) line(entry);
      else this.#advance(this.#bars, entry);
    }
  }

  #advance(bars: MultiBar, { vmId, step, kind, command }: JournalEntry): void {
    const name = vmId ?? this.hostId;
    const bar = this.#barOf.get(name) ?? bars.create(STEPS, 0, { vm: name.padEnd(8), step: '' });
    this.#barOf.set(name, bar);
    const text = kind === 'failed' ? `${step} failed, trying again` : step;
    if (kind === 'result' || kind === 'failed')
      bar.increment(kind === 'result' ? 1 : 0, { step: text });
    else if (kind === 'intent' || command !== null) bar.update({ step: text });
  }
}

/** Without a terminal only what matters is a line: dark, light again, failed. */
function line({ vmId, step, kind, detail, status }: JournalEntry): void {
  const who = vmId ?? 'host';
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
