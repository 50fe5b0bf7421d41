import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { createGunzip } from 'node:zlib';
import { historyFromJSON } from '@temporalio/common/lib/proto-utils';
import * as z from 'zod';
import { reasonOf } from '../../tools/reason';
import { FORMAT_VERSION, header, line, type Header, type Line } from './bundle-format';
import type { RecordedRun } from './recorded-run';

/** The file is no bundle that can be read; the message says why and what to do. */
export class BundleUnreadable extends Error {
  override readonly name = 'BundleUnreadable';
}

/** The lines of a bundle, one at a time; fails with `BundleUnreadable` where it is damaged, cut off, or too new. */
export async function* bundleLines(file: string): AsyncGenerator<Line> {
  let number = 0;
  let last: Line | undefined;
  try {
    for await (const text of textLines(file)) {
      number += 1;
      last = number === 1 ? headerOf(file, text) : lineOf(file, number, text);
      yield last;
    }
  } catch (error) {
    if (error instanceof BundleUnreadable) throw error;
    throw new BundleUnreadable(
      `${file} cannot be read beyond line ${number}: ${reasonOf(error)}. Export it again.`,
      { cause: error },
    );
  }
  if (last?.kind !== 'end') {
    throw new BundleUnreadable(`${file} is cut off after line ${number}. Export it again.`);
  }
}

export async function readHeader(file: string): Promise<Header> {
  for await (const first of bundleLines(file)) if (first.kind === 'header') return first;
  throw new BundleUnreadable(`${file} has no header. Export it again.`);
}

/** The runs of a bundle, one at a time, parents before their children. */
export async function* runsInBundle(file: string): AsyncGenerator<RecordedRun> {
  for await (const each of bundleLines(file)) {
    if (each.kind !== 'run') continue;
    const { workflowId, runId, parentRunId, depth, missing, history } = each;
    yield {
      workflowId,
      runId,
      parentRunId,
      depth,
      missing,
      history: history === null ? null : historyFromJSON(history),
    };
  }
}

async function* textLines(file: string): AsyncGenerator<string> {
  const bytes = createReadStream(file);
  const plain = createGunzip();
  // A reader that stops early must not leave the file open; an error of the file is one of the reader.
  bytes.on('error', (error) => plain.destroy(error));
  try {
    // Made only here: the interface loses lines that come before somebody iterates.
    yield* createInterface({ input: bytes.pipe(plain), crlfDelay: Infinity });
  } finally {
    bytes.destroy();
    plain.destroy();
  }
}

function headerOf(file: string, text: string): Header {
  const version = z.object({ version: z.int() }).safeParse(parsed(file, 1, text));
  if (version.success && version.data.version > FORMAT_VERSION) {
    throw new BundleUnreadable(
      `${file} has format version ${version.data.version}, this checkout reads up to ${FORMAT_VERSION}: use a newer one.`,
    );
  }
  return valid(header, file, 1, text);
}

const lineOf = (file: string, number: number, text: string): Line =>
  valid(line, file, number, text);

function valid<Schema extends z.ZodType>(
  schema: Schema,
  file: string,
  number: number,
  text: string,
): z.output<Schema> {
  const result = schema.safeParse(parsed(file, number, text));
  if (result.success) return result.data;
  throw new BundleUnreadable(
    `${file} is no bundle: line ${number}: ${z.prettifyError(result.error).replaceAll('\n', ' ')}. Make one with "npm run replay -- --export <workflowId> <file>".`,
  );
}

function parsed(file: string, number: number, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new BundleUnreadable(`${file} is damaged: line ${number} is no JSON. Export it again.`, {
      cause,
    });
  }
}
