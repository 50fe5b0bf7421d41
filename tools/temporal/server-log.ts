import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, statSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** Far more than the lines anyone shows, far less than a log of weeks. */
const TAIL_BYTES = 64 * 1024;

/** Where a dev server's output goes: a file, so that it survives both of us. */
export interface ServerLog {
  readonly file: string;
  /** Open for appending; the server inherits it. */
  readonly descriptor: number;
  /** The last lines of this run. */
  lastLines(count: number): Promise<string[]>;
  /** Closes our end; call it when the server has its own. */
  close(): void;
  /** Deletes the file when nobody asked for one. */
  discard(): Promise<void>;
}

/**
 * Opens the log of one run.
 *
 * @param requested appended to, its folder is made. Default: a file in a temporary folder, gone after `discard`.
 */
export function openServerLog(requested: string | undefined): ServerLog {
  const file = requested ?? join(mkdtempSync(join(tmpdir(), 'holdfast-temporal-')), 'server.log');
  mkdirSync(dirname(file), { recursive: true });
  const before = existsSync(file) ? statSync(file).size : 0;
  const descriptor = openSync(file, 'a');
  return {
    file,
    descriptor,
    async lastLines(count) {
      const text = (await readTail(file, before)).trim();
      return text === '' ? [] : text.split('\n').slice(-count);
    },
    close: () => closeSync(descriptor),
    async discard() {
      if (requested === undefined) await rm(dirname(file), { recursive: true, force: true });
    },
  };
}

async function readTail(file: string, from: number): Promise<string> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const start = Math.max(from, size - TAIL_BYTES);
    const { buffer, bytesRead } = await handle.read({
      buffer: Buffer.alloc(Math.max(0, size - start)),
      position: start,
    });
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
}
