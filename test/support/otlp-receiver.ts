import { createServer } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import * as z from 'zod';

const value = z.object({
  stringValue: z.string().optional(),
  intValue: z.union([z.number(), z.string()]).optional(),
  doubleValue: z.number().optional(),
  boolValue: z.boolean().optional(),
});
const span = z.object({
  traceId: z.string(),
  spanId: z.string(),
  parentSpanId: z.string().optional(),
  name: z.string(),
  startTimeUnixNano: z.coerce.bigint(),
  endTimeUnixNano: z.coerce.bigint(),
  attributes: z.array(z.object({ key: z.string(), value })),
  status: z.object({ code: z.number().optional(), message: z.string().optional() }),
});
const request = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes: z.array(z.object({ key: z.string(), value })) }),
      scopeSpans: z.array(z.object({ spans: z.array(span) })),
    }),
  ),
});

export interface ReceivedSpan {
  readonly service: string;
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly ms: number;
  readonly attributes: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly failed: boolean;
  readonly message: string | undefined;
}

/** The smallest collector: takes OTLP over HTTP as JSON on the loopback interface and keeps every span. */
export class OtlpReceiver {
  readonly spans: ReceivedSpan[] = [];
  private constructor(
    readonly url: string,
    readonly stop: () => Promise<void>,
  ) {}

  static async start(): Promise<OtlpReceiver> {
    const server = createServer((incoming, response) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('end', () => {
        receiver.#take(JSON.parse(Buffer.concat(chunks).toString('utf8')));
        response.setHeader('content-type', 'application/json').end('{}');
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const receiver = new OtlpReceiver(`http://127.0.0.1:${String(address.port)}`, async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });
    return receiver;
  }

  named(name: string): ReceivedSpan[] {
    return this.spans.filter((s) => s.name === name);
  }

  /** Spans come in batches, seconds after they ended. */
  async until(isThere: () => boolean, what: string, withinMs = 30_000): Promise<void> {
    const deadline = Date.now() + withinMs;
    while (!isThere()) {
      if (Date.now() > deadline) {
        const names = [...new Set(this.spans.map((s) => s.name))].join(', ');
        throw new Error(`${what} never came; there are spans of: ${names}`);
      }
      await delay(50);
    }
  }

  #take(body: unknown): void {
    for (const { resource, scopeSpans } of request.parse(body).resourceSpans) {
      const service = String(plain(resource.attributes)['service.name']);
      for (const s of scopeSpans.flatMap((scope) => scope.spans)) {
        this.spans.push({
          service,
          name: s.name,
          traceId: s.traceId,
          spanId: s.spanId,
          parentSpanId: s.parentSpanId,
          ms: Number(s.endTimeUnixNano - s.startTimeUnixNano) / 1e6,
          attributes: plain(s.attributes),
          failed: s.status.code === 2,
          message: s.status.message,
        });
      }
    }
  }
}

const plain = (attributes: readonly { key: string; value: z.infer<typeof value> }[]) =>
  Object.fromEntries(
    attributes.map(({ key, value: v }) => [
      key,
      v.stringValue ??
        v.boolValue ??
        v.doubleValue ??
        (v.intValue === undefined ? undefined : Number(v.intValue)),
    ]),
  );
