import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Hosts, Loaded } from '../hosts/open-hosts';

/** How soon a change of the file counts, ms. */
const LOOK_AGAIN_MS = 500;

interface Heard {
  onLoaded(version: string): void;
  /** The file does not count; `staysInForce`: the version that does, null if none. */
  onRejected(why: string, staysInForce: string | null): void;
}

/**
 * Puts the policy of the file in force, and again whenever its text changes, until `signal`. Every process that has the fleet
 * directory open sees it. Without a file, what the directory holds stays in force.
 */
export async function keepFunctionPolicy(
  hosts: Pick<Hosts, 'loadFunctionPolicy'>,
  path: string,
  heard: Heard,
  signal: AbortSignal,
): Promise<void> {
  for (let before: string | undefined; !signal.aborted;) {
    const text = textOf(path);
    if (text !== before) {
      before = text;
      tell(hosts.loadFunctionPolicy(path), heard);
    }
    await delay(LOOK_AGAIN_MS, undefined, { signal }).catch(() => undefined);
  }
}

function tell(loaded: Loaded, heard: Heard): void {
  if ('rejected' in loaded) heard.onRejected(loaded.rejected, loaded.staysInForce);
  else heard.onLoaded(loaded.version);
}

/** What is compared; a file that cannot be read is a text of its own, and `loadPolicy` says what is wrong with it. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    return `\0${String(error)}`;
  }
}
