import * as z from 'zod';
import type { UpdateFleetSettings } from '../../contract/fleet-input';
import type { Finding, HealthVerdict } from '../../contract/fleet-results';
import { withoutAnswer } from '../fleet/webhook';

export type HttpProbe = UpdateFleetSettings['health']['http'][number];
export type PrometheusProbe = UpdateFleetSettings['health']['prometheus'][number];

const TIMEOUT_MS = 10_000;
/** Values outside the bounds that evidence names; the others are counted. */
const EXAMPLES = 3;

/** Asks an address once. No answer within `timeoutMs` is inconclusive; it never throws. */
export async function probeHttp(probe: HttpProbe, timeoutMs = TIMEOUT_MS): Promise<Finding> {
  const found = (verdict: HealthVerdict, evidence: string): Finding => ({
    probe: 'http',
    of: probe.url,
    verdict,
    evidence,
  });
  try {
    const { status, body } = await get(probe.url, timeoutMs);
    await body?.cancel();
    return status === probe.status
      ? found('healthy', `answered ${status}`)
      : found('unhealthy', `answered ${status}, expected ${probe.status}`);
  } catch (error) {
    return found('inconclusive', `no answer: ${withoutAnswer(error)}`);
  }
}

/** Evaluates a query once, now. Whatever is not a number, or keeps one from being read, is inconclusive; it never throws. */
export async function probePrometheus(
  probe: PrometheusProbe,
  timeoutMs = TIMEOUT_MS,
): Promise<Finding> {
  const found = ([verdict, evidence]: readonly [HealthVerdict, string]): Finding => ({
    probe: 'prometheus',
    of: probe.url,
    verdict,
    evidence: `${probe.query}: ${evidence}`,
  });
  try {
    const response = await get(queryUrl(probe), timeoutMs);
    const answered = answerOf(await response.text());
    if (answered === undefined) {
      return found(['inconclusive', `status ${response.status}, and no answer of Prometheus`]);
    }
    if (answered.status === 'error') return found(['inconclusive', answered.error]);
    return found(judged(samplesOf(answered.data), probe));
  } catch (error) {
    return found(['inconclusive', `no answer: ${withoutAnswer(error)}`]);
  }
}

/** An address that leads elsewhere is judged by its own status: a log-in page is not what was asked for. */
const get = (url: string | URL, timeoutMs: number): Promise<Response> =>
  fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(timeoutMs) });

function queryUrl({ url, query }: PrometheusProbe): URL {
  const address = new URL(url);
  address.pathname = `${address.pathname.replace(/\/$/, '')}/api/v1/query`;
  address.searchParams.set('query', query);
  return address;
}

/** Seconds since 1970, and the value: a number, `NaN`, `+Inf` or `-Inf`. */
const value = z.tuple([z.number(), z.string()]);
const data = z.discriminatedUnion('resultType', [
  z.object({
    resultType: z.literal('vector'),
    // A native histogram has no single value.
    result: z.array(
      z.object({ metric: z.record(z.string(), z.string()), value: value.optional() }),
    ),
  }),
  z.object({ resultType: z.literal('scalar'), result: value }),
  z.object({ resultType: z.enum(['matrix', 'string']), result: z.unknown() }),
]);
const answer = z.discriminatedUnion('status', [
  z.object({ status: z.literal('success'), data }),
  z.object({ status: z.literal('error'), error: z.string() }),
]);

function answerOf(text: string): z.infer<typeof answer> | undefined {
  try {
    return answer.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

interface Sample {
  readonly labels: string;
  readonly value: number;
}

/** Null: this type of result has no values to compare. */
function samplesOf(answered: z.infer<typeof data>): readonly Sample[] | null {
  switch (answered.resultType) {
    case 'vector':
      return answered.result.map(({ metric, value: sample }) => ({
        labels: labelled(metric),
        value: sample === undefined ? Number.NaN : numberOf(sample[1]),
      }));
    case 'scalar':
      return [{ labels: '', value: numberOf(answered.result[1]) }];
    case 'matrix':
    case 'string':
      return null;
  }
}

const numberOf = (text: string): number => Number(text.replace(/Inf$/, 'Infinity'));

function labelled({ __name__: name = '', ...labels }: Record<string, string>): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${text}"`);
  return pairs.length === 0 ? name : `${name}{${pairs.join(',')}}`;
}

function judged(
  samples: readonly Sample[] | null,
  { atLeast = -Infinity, atMost = Infinity }: PrometheusProbe,
): readonly [HealthVerdict, string] {
  if (samples === null) return ['inconclusive', 'the result has no values to compare'];
  if (samples.length === 0) return ['inconclusive', 'no value'];
  const outside = samples.filter(({ value: v }) => v < atLeast || v > atMost);
  const within = `${boundsOf(atLeast, atMost)}`;
  if (outside.length > 0) {
    return ['unhealthy', `${outside.length} of ${samples.length} not ${within}: ${shown(outside)}`];
  }
  const unknown = samples.filter(({ value: v }) => Number.isNaN(v));
  if (unknown.length > 0) {
    return ['inconclusive', `${unknown.length} of ${samples.length} no number: ${shown(unknown)}`];
  }
  return ['healthy', `${samples.length} of ${samples.length} ${within}: ${shown(samples)}`];
}

const boundsOf = (atLeast: number, atMost: number): string =>
  [
    ...(atLeast === -Infinity ? [] : [`at least ${atLeast}`]),
    ...(atMost === Infinity ? [] : [`at most ${atMost}`]),
  ].join(' and ');

function shown(samples: readonly Sample[]): string {
  const some = samples.slice(0, EXAMPLES).map(({ labels, value: v }) => `${v} ${labels}`.trim());
  const more = samples.length - some.length;
  return `${some.join(', ')}${more === 0 ? '' : ` and ${more} more`}`;
}
