import { rmSync } from 'node:fs';

export default async function globalTeardown(): Promise<void> {
  await globalThis.holdfastTestServer?.stop();
  const directory = process.env['HOLDFAST_TEST_DIRECTORY'];
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
}
