import { existsSync, readFileSync } from 'node:fs';
import { basename, extname } from 'node:path';
import { LineCounter, isMap, isNode, isScalar, parseDocument, type Document } from 'yaml';
import {
  contradictionChecks,
  updateFleetFields,
  type UpdateFleetInput,
  type UpdateFleetSettings,
} from '../../contract/fleet-input';
import { z } from '../../contract/zod';
import { CannotUpdate } from './ended';

const name = z
  .string()
  .check(
    z.regex(
      /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
      'name must be 1-63 letters, digits, dots, dashes or underscores, starting with a letter or digit',
    ),
  );
const fields = { name: z.optional(name), ...updateFleetFields };

/** A fleet file: the input of `updateFleet`, and a name. */
export const fleetFile = z
  .strictObject(fields)
  .check(...contradictionChecks<z.output<z.ZodMiniObject<typeof fields>>>());

export interface Fleet {
  /** What the run is called: `update-fleet/<name>`. */
  readonly name: string;
  /** As it was written: what the run is started with. */
  readonly input: UpdateFleetInput;
  /** With its defaults. */
  readonly settings: UpdateFleetSettings;
}

/** What the command line says in place of, or on top of, the file. */
export interface Overrides {
  readonly hosts?: readonly string[];
  readonly toVersion?: string;
  readonly component?: string;
}

/** Reads and checks everything before anything is started; all that is wrong is told at once, with its line and column. */
export function readFleet(path: string | undefined, overrides: Overrides): Fleet {
  const { document, positionOf } = path === undefined ? NO_FILE : read(path);
  const written = document === null ? {} : (document.toJS() as unknown);
  if (typeof written !== 'object' || written === null || Array.isArray(written)) {
    throw new CannotUpdate(
      `${positionOf([])}: a fleet file is a mapping with "update" and "hosts".`,
    );
  }
  const value = withOverrides(written as Record<string, unknown>, overrides);
  const parsed = z.safeParse(fleetFile, value);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => {
      const at =
        issue.code === 'unrecognized_keys'
          ? [...issue.path, ...issue.keys.slice(0, 1)]
          : issue.path;
      const field = issue.path.map(String).join('.') || 'fleet';
      return `${positionOf(at)}: ${field}: ${issue.message}${issue.code === 'custom' ? '' : got(issue.path.reduce(stepInto, value))}`;
    });
    throw new CannotUpdate(problems.join('\n'));
  }
  const { name: given, ...settings } = parsed.data;
  const { name: _name, ...input } = value as UpdateFleetInput & { readonly name?: string };
  const fromFile = path === undefined ? undefined : basename(path, extname(path));
  return { name: given ?? fromFile ?? `to-${settings.update.version}`, input, settings };
}

function withOverrides(
  written: Record<string, unknown>,
  { hosts, toVersion, component }: Overrides,
): Record<string, unknown> {
  const update = {
    ...(written['update'] as object | undefined),
    ...(toVersion === undefined ? {} : { version: toVersion }),
    ...(component === undefined ? {} : { component }),
  };
  return {
    ...written,
    ...(Object.keys(update).length === 0 ? {} : { update }),
    ...(hosts === undefined ? {} : { hosts }),
  };
}

type Path = readonly PropertyKey[];
interface Located {
  readonly document: Document | null;
  /** `file:line:column` of a field, or of the nearest one around it. */
  positionOf(path: Path): string;
}

const NO_FILE: Located = { document: null, positionOf: () => 'command line' };

function read(path: string): Located {
  if (!existsSync(path)) throw new CannotUpdate(`There is no fleet file ${path}.`);
  const lineCounter = new LineCounter();
  const document = parseDocument(readFileSync(path, 'utf8'), { lineCounter, prettyErrors: false });
  const at = (offset: number) => {
    const { line, col } = lineCounter.linePos(offset);
    return `${path}:${String(line)}:${String(col)}`;
  };
  const broken = [...document.errors, ...document.warnings];
  if (broken.length > 0) {
    throw new CannotUpdate(broken.map((e) => `${at(e.pos[0])}: ${e.message}`).join('\n'));
  }
  return { document, positionOf: (field) => at(offsetOf(document, field)) };
}

/** Of the key where there is one: that is what a person looks for. */
function offsetOf(document: Document, path: Path): number {
  for (let length = path.length; length > 0; length -= 1) {
    const parent: unknown = document.getIn(path.slice(0, length - 1), true);
    const last = path[length - 1];
    if (isMap(parent)) {
      const pair = parent.items.find(({ key }) => isScalar(key) && key.value === last);
      if (isNode(pair?.key) && pair.key.range) return pair.key.range[0];
    }
    const node: unknown = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return node.range[0];
  }
  return 0;
}

const stepInto = (value: unknown, key: PropertyKey): unknown =>
  typeof value === 'object' && value !== null
    ? (value as Record<PropertyKey, unknown>)[key]
    : undefined;

function got(value: unknown): string {
  if (value === undefined) return ' (got nothing)';
  if (typeof value === 'object') return '';
  return ` (got ${JSON.stringify(value)})`;
}
