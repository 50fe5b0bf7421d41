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
}

/** Turn about, so that a drift of the machine meets both alike; zero latency. The first run of each warms up. */
export async function blackoutFigures(vms: number, rounds: number): Promise<BlackoutFigures> {
  return withStack({ vms, profile: 'zero' }, async (stack) => {
    const direct: number[] = [];
    const holdfast: number[] = [];
    for (let round = 0; round <= rounds; round += 1) {
      const called = (await directBlackouts(vms, 2)).slice(vms);
      const { result } = await service(stack);
      if (round === 0) continue;
      direct.push(...called);
      holdfast.push(...result.vms.map((vm) => vm.facts.blackoutMs));
    }
    const [of, to] = [figures(holdfast), figures(direct)];
    const ratio = (ms: number) => Math.round((100 * ms) / to.p50) / 100;
    return { direct: to, holdfast: of, ratio: ratio(of.p50), ratioP99: ratio(of.p99) };
  });
}
