import { execFile } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';

import { z } from 'zod';

/** Where the Temporal SDKs download the CLI from; `HOLDFAST_TEMPORAL_DOWNLOAD_URL` names a mirror, or `off`. */
const OFFICIAL_URL = 'https://temporal.download';
/** Without a network the answer should come before a person wonders. */
const FIRST_ANSWER_TIMEOUT_MS = 3_000;
const STALLED_TIMEOUT_MS = 30_000;

/** Go's names of what Node calls `process.arch`; the download exists for these two. */
const GO_ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** Answer of the download service, as the SDK's own downloader reads it. */
const downloadAnswer = z.object({
  archiveUrl: z.url(),
  fileToExtract: z.string().regex(/^[\w.-]+$/),
});

/**
 * Downloads the Temporal CLI the way the Temporal SDKs do, but a fixed version, into `scratchDirectory`.
 * Fails within 3 s when the service cannot be reached, and after 30 s in which nothing arrived.
 *
 * @returns path of the extracted binary; the caller checks that it runs
 */
export async function downloadTemporal(
  cliVersion: string,
  scratchDirectory: string,
  env: NodeJS.ProcessEnv,
  onProgress: (line: string) => void,
): Promise<string> {
  const baseUrl = env['HOLDFAST_TEMPORAL_DOWNLOAD_URL'] || OFFICIAL_URL;
  if (baseUrl === 'off') throw new Error('switched off by HOLDFAST_TEMPORAL_DOWNLOAD_URL=off');
  const answer = await askForArchive(baseUrl, cliVersion);
  onProgress(`downloading the Temporal CLI ${cliVersion} from ${new URL(answer.archiveUrl).host}`);
  const archive = join(scratchDirectory, 'archive.tar.gz');
  await fetchToFile(answer.archiveUrl, archive);
  await promisify(execFile)('tar', ['-xzf', archive, '-C', scratchDirectory, answer.fileToExtract]);
  return join(scratchDirectory, answer.fileToExtract);
}

async function askForArchive(baseUrl: string, cliVersion: string) {
  const arch = GO_ARCHITECTURES[process.arch];
  if (arch === undefined) throw new Error(`there is no download for ${process.arch}`);
  const url = new URL(`/cli/v${cliVersion}`, baseUrl);
  url.search = new URLSearchParams({
    arch,
    platform: process.platform,
    format: 'tar.gz',
  }).toString();
  const response = await fetch(url, { signal: AbortSignal.timeout(FIRST_ANSWER_TIMEOUT_MS) });
  if (!response.ok) throw new Error(`${url.host} answered ${response.status}`);
  return downloadAnswer.parse(await response.json());
}

async function fetchToFile(url: string, file: string): Promise<void> {
  const stalled = new AbortController();
  const timer = setTimeout(
    () => stalled.abort(new Error(`nothing arrived for ${STALLED_TIMEOUT_MS / 1000} s`)),
    STALLED_TIMEOUT_MS,
  );
  try {
    const response = await fetch(url, { signal: stalled.signal });
    if (!response.ok || response.body === null) {
      throw new Error(`${new URL(url).host} answered ${response.status}`);
    }
    const body = Readable.fromWeb(response.body);
    body.on('data', () => timer.refresh());
    await pipeline(body, createWriteStream(file), { signal: stalled.signal });
  } finally {
    clearTimeout(timer);
  }
}
