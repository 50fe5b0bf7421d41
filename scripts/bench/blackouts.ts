import type { JournalEntry } from '../../contract/host';
import type { VmStep } from '../../contract/steps';
import { directBlackouts } from './direct';
import { figures, type Figures } from './figures';
import { service, withStack } from './serviced';

/** The blackouts of the same VMs by direct driver calls and by `serviceHost`, and what that is to what, ms. */
export interface BlackoutFigures {
  readonly direct: Figures;
  readonly holdfast: Figures;
  /** Of the medians, and of our 99th percentile to the median of direct calls. */
  readonly ratio: number;
  readonly ratioP99: number;
  /** Of the whole host, from its first pause to its last resumption: medians, ms. */
  readonly parts: {
    readonly saveMs: number;
    readonly updateMs: number;
    readonly restoreMs: number;
  };
}

/** Turn about, so that a drift of the machine meets both alike; zero latency. The first run of each warms up. */
export async function blackoutFigures(vms: number, rounds: number): Promise<BlackoutFigures> {
  return withStack({ vms, profile: 'zero' }, async (stack) => {
    const direct: number[] = [];
    const holdfast: number[] = [];
    const parts: Record<'saveMs' | 'updateMs' | 'restoreMs', number>[] = [];
    const { driver } = stack.hosts;
    for (let round = 0; round <= rounds; round += 1) {
      const called = (await directBlackouts(vms, 2)).slice(vms);
      const { journalSeq: afterSeq } = await driver.describe('host-01');
      const { result } = await service(stack);
      if (round === 0) continue;
      parts.push(partsOf(await driver.readJournal('host-01', { afterSeq, limit: 50_000 })));
      direct.push(...called);
      holdfast.push(...result.vms.map((vm) => vm.facts.blackoutMs));
    }
    const [of, to] = [figures(holdfast), figures(direct)];
    const ratio = (ms: number) => Math.round((100 * ms) / to.p50) / 100;
    const median = (part: keyof (typeof parts)[number]) => figures(parts.map((p) => p[part])).p50;
    return {
      ...{ direct: to, holdfast: of, ratio: ratio(of.p50), ratioP99: ratio(of.p99) },
      parts: {
        saveMs: median('saveMs'),
        updateMs: median('updateMs'),
        restoreMs: median('restoreMs'),
      },
    };
  });
}

/** All VMs are down before the update is committed, and it is committed before any is restored. */
function partsOf(journal: readonly JournalEntry[]) {
  const times = (step: VmStep, kind: JournalEntry['kind']) =>
    journal.filter((e) => e.step === step && e.kind === kind).map((e) => e.hostTimeMs);
  const pausedMs = Math.min(...times('pauseVm', 'intent'));
  const downMs = Math.max(...times('tearDownSyntheticAdapter', 'result'));
  const restoringMs = Math.min(...times('powerOnRestore', 'intent'));
  const resumedMs = Math.max(...times('resumeVm', 'result'));
  return {
    saveMs: downMs - pausedMs,
    updateMs: restoringMs - downMs,
    restoreMs: resumedMs - restoringMs,
  };
}
