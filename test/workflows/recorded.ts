import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

export const HISTORIES = join(__dirname, '..', 'histories');

/** An event of a history in JSON form. Loosely typed on purpose: tests spoil it. */
export interface JsonEvent {
  eventId: string;
  eventType: string;
  [attributes: string]: unknown;
}
export interface JsonHistory {
  events: JsonEvent[];
}

/** One line of test/histories/index.json. */
export interface Recorded {
  readonly file: string;
  readonly workflowId: string;
  readonly ends: string;
  readonly shows: string;
}

export const INDEX = JSON.parse(
  readFileSync(join(HISTORIES, 'index.json'), 'utf8'),
) as readonly Recorded[];
export const historyFiles = (): string[] =>
  readdirSync(HISTORIES)
    .filter((name) => name.endsWith('.json') && name !== 'index.json')
    .sort();
/** A copy of its own of a recorded history, by its name without `.json`. */
export const recorded = (name: string): JsonHistory =>
  JSON.parse(readFileSync(join(HISTORIES, `${name}.json`), 'utf8')) as JsonHistory;
