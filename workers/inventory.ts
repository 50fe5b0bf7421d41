import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { LineCounter, parseDocument } from 'yaml';
import { HoldfastError } from '../contract/failures';
import { inventory, type Inventory } from '../contract/inventory';
import { z } from '../contract/zod';

/**
 * Reads the orchestrator's inventory, YAML or JSON, anew for every run, so that it can be edited meanwhile. Fails with
 * `InvalidInput`: no file was named, it cannot be read, or everything in it that is wrong.
 */
export function loadInventory(path: string | undefined): Inventory {
  if (path === undefined) {
    throw invalid(
      'this orchestrator has none (option --inventory): give the run one of its own, as "inventory"',
    );
  }
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw invalid(
      `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  const document = parseDocument(text, { lineCounter: new LineCounter() });
  if (document.errors.length > 0) {
    throw invalid(`${path}: ${document.errors.map((e) => e.message.split('\n')[0]).join('; ')}`);
  }
  const parsed = z.safeParse(inventory, document.toJS());
  if (parsed.success) return parsed.data;
  throw invalid(
    `${path}: ${parsed.error.issues.map((i) => `${i.path.join('.')}: ${i.message}`).join('; ')}`,
  );
}

/** Adds hosts to an inventory file that it does not have yet; what somebody wrote there about the others stays. */
export function completeInventory(path: string, { hosts }: Inventory): void {
  const known = existsSync(path) ? loadInventory(path).hosts : [];
  const names = new Set(known.map((host) => host.hostId));
  const added = hosts.filter((host) => !names.has(host.hostId));
  if (added.length === 0) return;
  // Put in place as a whole: an orchestrator may read it at this moment.
  writeFileSync(`${path}.new`, `${JSON.stringify({ hosts: [...known, ...added] }, null, 2)}\n`);
  renameSync(`${path}.new`, path);
}

function invalid(what: string): HoldfastError {
  const problem = `inventory: ${what}`;
  return new HoldfastError('InvalidInput', `${problem}.`, { problems: [problem] });
}
