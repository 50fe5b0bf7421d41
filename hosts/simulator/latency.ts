import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { issuedAhead, restoreFlow, saveFlow } from '../../contract/flows';
import type { ExpectedTimes, Spread } from '../../contract/host';
import type { Mode } from '../../contract/inputs';
import { VM_STEPS, type VmStep } from '../../contract/steps';

/** How long each operation takes: log-normal, by its median and 99th percentile in ms. */
const latencyProfile = z.strictObject({
  $comment: z.optional(z.string()),
  /** 1 = real time; 0.1 = ten times as fast. 0–100. */
  timeScale: z.number().min(0).max(100),
  operations: z.record(
    z.string(),
    z
      .strictObject({
        p50: z.number().min(0).max(3_600_000),
        p99: z.number().min(0).max(3_600_000),
        source: z.optional(z.string()),
      })
      .refine(({ p50, p99 }) => p99 >= p50, 'p99 must not be below p50'),
  ),
});
export type LatencyProfile = z.infer<typeof latencyProfile>;

/** The built-in profiles `default` and `zero`, or a file of the same form. */
export function loadProfile(nameOrPath: string): LatencyProfile {
  const path = /[/.]/.test(nameOrPath)
    ? nameOrPath
    : join(__dirname, 'profiles', `${nameOrPath}.json`);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new TypeError(
      `There is no latency profile "${nameOrPath}"; use "default", "zero", or the path of a JSON file.`,
      { cause },
    );
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new TypeError(`Latency profile ${path} is not JSON: ${(cause as Error).message}.`, {
      cause,
    });
  }
  const parsed = latencyProfile.safeParse(json);
  if (!parsed.success) {
    throw new TypeError(`Latency profile ${path}: ${z.prettifyError(parsed.error)}`);
  }
  return parsed.data;
}

const NORMAL_P99 = 2.3263;

/** A value of the operation's distribution, ms: the same for the same seed and key, whatever runs beside it. */
export function sampleMs(
  profile: LatencyProfile,
  operation: string,
  seed: number,
  key: string,
): number {
  const distribution = profile.operations[operation];
  if (distribution === undefined || distribution.p50 === 0) return 0;
  const digest = createHash('sha256')
    .update(`${String(seed)}/${operation}/${key}`)
    .digest();
  const uniform = (offset: number) => (digest.readUIntBE(offset, 6) + 1) / (2 ** 48 + 1);
  const normal = Math.sqrt(-2 * Math.log(uniform(0))) * Math.cos(2 * Math.PI * uniform(6));
  const sigma = Math.log(distribution.p99 / distribution.p50) / NORMAL_P99;
  return distribution.p50 * Math.exp(sigma * normal) * profile.timeScale;
}

/** What the dark stretches of a save and of a restore take by the profile. */
export function expectedTimes({ operations, timeScale }: LatencyProfile): ExpectedTimes {
  const spreadOf = (steps: readonly string[]): Spread => {
    const all = steps.map((step) => operations[step] ?? { p50: 0, p99: 0 });
    const p50 = all.reduce((sum, of) => sum + of.p50, 0);
    const p99 = p50 + Math.hypot(...all.map((of) => of.p99 - of.p50));
    return { p50Ms: p50 * timeScale, p99Ms: p99 * timeScale };
  };
  const dark = (flow: readonly VmStep[]) =>
    spreadOf(issuedAhead(flow).filter((step) => VM_STEPS[step].kind === 'dark'));
  const ofMode = (mode: Mode) => ({
    save: dark(saveFlow({ mode })),
    restore: dark(restoreFlow({ mode, virtualFunctionRestore: 'step-by-step' })),
  });
  return {
    modified: ofMode('modified'),
    conventional: ofMode('conventional'),
    commit: spreadOf(['commitUpdate']),
  };
}
