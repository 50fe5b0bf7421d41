import { readFileSync } from 'node:fs';
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

const invalid = (what: string) => new HoldfastError('InvalidInput', `inventory: ${what}.`);
