import { MultiBar, Presets, type SingleBar } from 'cli-progress';
import type { Client, WorkflowExecutionDescription } from '@temporalio/client';
import type { FleetProgress } from '../../contract/fleet-results';
import { fastRestoreId, fastSaveId, serviceHostId } from '../../contract/queues';
import type { Shell } from '../run-script';

/** Hosts in flight that are shown with their VMs, VMs of each, and the latest waves: as much as a terminal has room for. */
const SHOWN = { hosts: 8, vms: 16, waves: 8 };
const ANSWERS_WITHIN_MS = 2_000;

/**
 * Shows where a fleet update is, on standard error: bars on a terminal, else a line whenever something has changed.
 * What is known of hosts and VMs comes from the server alone, so that watching adds no hop to a blackout.
 */
export class Watch {
  readonly #bars: MultiBar | undefined;
  readonly #waves = new Map<number, SingleBar>();
  readonly #hosts = new Map<string, SingleBar>();
  readonly #said = new Map<string, string>();

  constructor(
    private readonly client: Client,
    /** Also each host in flight, with the step of each VM. */
    private readonly closely: boolean,
    private readonly stderr: Shell['stderr'],
  ) {
    this.#bars =
      closely && stderr.isTTY
        ? new MultiBar(
            { hideCursor: true, clearOnComplete: true, stream: stderr },
            Presets.shades_classic,
          )
        : undefined;
  }

  async show(progress: FleetProgress): Promise<void> {
    const { waves, wave, waiting, inFlight, phase } = progress;
    for (const { number, hosts, updated, failed, leftOut } of waves) {
      if (number > wave) continue;
      if (number <= wave - SHOWN.waves) {
        this.#remove(this.#waves, number);
        continue;
      }
      const counts = `${String(updated)} of ${String(hosts)} updated, ${String(failed)} failed, ${String(leftOut)} left out`;
      if (this.#bars === undefined) this.#say(`wave ${String(number)}`, counts);
      else
        this.#bar(this.#bars, this.#waves, number, hosts, ` wave ${String(number)}`).update(
          updated + failed + leftOut,
          { text: counts },
        );
    }
    this.#say('phase', phase);
    this.#say('waits', waiting === null ? '-' : `for ${waiting.for}: ${waiting.detail}`);
    if (!this.closely) return;
    const shown = inFlight.slice(0, SHOWN.hosts);
    const texts = await Promise.all(shown.map((hostId) => this.#hostText(hostId)));
    for (const hostId of this.#hosts.keys())
      if (!shown.includes(hostId)) this.#remove(this.#hosts, hostId);
    for (const [index, hostId] of shown.entries()) {
      const text = texts[index] ?? '';
      if (this.#bars === undefined) this.#say(hostId, text);
      else this.#bar(this.#bars, this.#hosts, hostId, 1, `   ${hostId}`).update(0, { text });
    }
  }

  stop(): void {
    this.#bars?.stop();
  }

  #bar<Key>(
    bars: MultiBar,
    known: Map<Key, SingleBar>,
    key: Key,
    total: number,
    name: string,
  ): SingleBar {
    const isWave = typeof key === 'number';
    const bar =
      known.get(key) ??
      bars.create(
        total,
        0,
        { text: '' },
        { format: isWave ? `${name} {bar} {text}` : `${name} {text}` },
      );
    known.set(key, bar);
    return bar;
  }

  #remove<Key>(known: Map<Key, SingleBar>, key: Key): void {
    const bar = known.get(key);
    if (bar !== undefined) this.#bars?.remove(bar);
    known.delete(key);
  }

  /** A line, if it is not what was said last. On a terminal bars say the rest. */
  #say(what: string, text: string): void {
    if (this.#said.get(what) === text) return;
    this.#said.set(what, text);
    const line = `${what}: ${text}`;
    if (this.#bars === undefined) this.stderr.write(`${line}\n`);
    else this.#bars.log(`${line}\n`);
  }

  /** `servicing: vm-01 disableOptimizations, vm-02 awaitPause to awaitResume`. */
  async #hostText(hostId: string): Promise<string> {
    const seen = await this.#describe(serviceHostId(hostId));
    if (seen === null) return 'starting';
    const verdicts = seen.memo?.['verdicts'] as readonly { readonly vmId: string }[] | undefined;
    const vmIds = (verdicts ?? []).slice(0, SHOWN.vms).map((vm) => vm.vmId);
    const vms = await Promise.all(
      vmIds.map(async (vmId) => `${vmId} ${await this.#vmText(hostId, vmId)}`),
    );
    const phase = String(seen.searchAttributes['Phase']?.[0] ?? 'starting');
    return vms.length === 0 || phase !== 'servicing' ? phase : `${phase}: ${vms.join(', ')}`;
  }

  /** The step that a VM's run is at. How far steps are that were issued together, the host alone knows until it answers them. */
  async #vmText(hostId: string, vmId: string): Promise<string> {
    const runs = await Promise.all([
      this.#describe(fastSaveId(hostId, vmId)),
      this.#describe(fastRestoreId(hostId, vmId)),
    ]);
    const running = runs.filter((run) => run?.status.name === 'RUNNING');
    if (running.length === 0) return 'runs';
    const [steps = []] = running.map((run) => pendingSteps(run)).filter(({ length }) => length > 0);
    const [first = 'between two steps', last] = [steps[0], steps.at(-1)];
    return last === undefined || last === first ? first : `${first} to ${last}`;
  }

  async #describe(workflowId: string) {
    try {
      return await this.client.withDeadline(Date.now() + ANSWERS_WITHIN_MS, () =>
        this.client.workflow.getHandle(workflowId).describe(),
      );
    } catch {
      // Not started yet, or the server is too busy to say: the next look tells.
      return null;
    }
  }
}

/** In the order in which they were asked for: activities are numbered. */
const pendingSteps = (run: WorkflowExecutionDescription | null): string[] =>
  (run?.raw.pendingActivities ?? [])
    .toSorted((a, b) => Number(a.activityId) - Number(b.activityId))
    .map(({ activityType }) => activityType?.name ?? '');
