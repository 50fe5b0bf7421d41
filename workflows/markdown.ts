import { workflowInfo } from '@temporalio/workflow';
import type { Holder } from '../contract/ids';

/** Characters of a table: the UI hands all details to a frame in one go, and a page of them is what people read. */
const LONGEST_TABLE = 16_000;

/** The UI sets table cells close together, so each brings its own space. Rows that do not fit are counted. */
export function markdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const row = (cells: readonly string[]) =>
    `| ${cells.map((cell) => `\u00a0${inCell(cell)}\u00a0`).join(' | ')} |`;
  const lines = [row(head), `|${'---|'.repeat(head.length)}`];
  let length = 0;
  for (const [index, cells] of rows.entries()) {
    const line = row(cells);
    length += line.length + 1;
    if (length > LONGEST_TABLE)
      return [...lines, '', `… and ${rows.length - index} more`].join('\n');
    lines.push(line);
  }
  return lines.join('\n');
}

const inCell = (text: string) => text.replace(/\s*\n\s*/g, ' ').replaceAll('|', '\\|');

/** Text of others (messages, ids), shown as it is. */
export const literal = (text: string) => text.replace(/[\\`*_~[\]<>#]/g, '\\$&');

/** A run of this namespace as a link within the UI; without a run id, the latest run of that workflow. */
export function runLink(
  text: string,
  { workflowId, runId }: Partial<Holder> & Pick<Holder, 'workflowId'>,
): string {
  const run = runId === undefined ? '' : `/${runId}`;
  const path = `/namespaces/${workflowInfo().namespace}/workflows/${encodeURIComponent(workflowId)}${run}`;
  return `[${literal(text)}](${path})`;
}

export const codeBlock = (lines: readonly string[]) => ['```', ...lines, '```'].join('\n');

/** Parts of a page, one below the other. */
export const page = (...parts: readonly string[]) =>
  parts.filter((part) => part !== '').join('\n\n');
