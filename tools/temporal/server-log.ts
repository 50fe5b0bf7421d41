import { closeSync, fstatSync, mkdirSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** Far more than the lines anyone shows, far less than a log of weeks. */
const TAIL_BYTES = 64 * 1024;

/** Where a dev server's output goes: a file, not a pipe, so that it never waits for us to read. */
export interface ServerLog {
  /** Open for appending; the server inherits it. */
  readonly descriptor: number;
  /** The last lines of this run; call it before `close`. */
  lastLines(count: number): string[];
  close(): void;
}

/**
 * Opens the log of one run.
 *
 * @param requested appended to, its folder is made. Default: a file that has no name any more, so that nothing is left
 *   behind however we and the server end.
 */
export function openServerLog(requested: string | undefined): ServerLog {
  const descriptor = requested === undefined ? openNameless() : openNamed(requested);
  const before = fstatSync(descriptor).size;
  return {
    descriptor,
    lastLines(count) {
      const { size } = fstatSync(descriptor);
      const start = Math.max(before, size - TAIL_BYTES);
      const buffer = Buffer.alloc(size - start);
      const length = readSync(descriptor, buffer, 0, buffer.length, start);
      const text = buffer.toString('utf8', 0, length).trim();
      return text === '' ? [] : text.split('\n').slice(-count);
    },
    close: () => closeSync(descriptor),
  };
}

function openNamed(file: string): number {
  mkdirSync(dirname(file), { recursive: true });
  return openSync(file, 'a+');
}

function openNameless(): number {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-temporal-'));
  try {
    return openSync(join(folder, 'server.log'), 'a+');
  } finally {
    rmSync(folder, { recursive: true });
  }
}
