import { basename, extname } from 'node:path';
import {
  contradictionChecks,
  updateFleetFields,
  type UpdateFleetInput,
  type UpdateFleetSettings,
} from '../../contract/fleet-input';
import { name } from '../../contract/ids';
import { z } from '../../contract/zod';
import { CannotUpdate } from './ended';
import { unknownNames, type Problem } from './unknown-names';
import { readYaml, type Path, type YamlFile } from './yaml-file';

const fields = { name: z.optional(name('name', 'nightly')), ...updateFleetFields };

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
  const { value: written, positionOf } = path === undefined ? NO_FILE : readYaml(path);
  if (typeof written !== 'object' || written === null || Array.isArray(written)) {
    throw new CannotUpdate(
      `${positionOf([])}: a fleet file is a mapping with "update" and "hosts".`,
    );
  }
  const value = withOverrides({ name: nameOf(path, overrides), ...written }, overrides);
  const parsed = z.safeParse(fleetFile, value);
  const problems = [
    ...(parsed.error?.issues ?? []).flatMap((issue) => problemsOf(issue, value)),
    ...unknownNames(value),
  ].map(({ path: field, message }) => `${positionOf(field)}: ${dotted(field)}: ${message}`);
  if (!parsed.success || problems.length > 0) {
    throw new CannotUpdate(`${problems.join('\n')}\nNothing was started.`);
  }
  const { name: _name, ...settings } = parsed.data;
  const { name, ...input } = value as UpdateFleetInput & { readonly name: string };
  return { name, input, settings };
}

/** A fleet that is not named goes by its file, or by the version it goes to. */
const nameOf = (path: string | undefined, { toVersion = '' }: Overrides): string =>
  path === undefined ? `to-${toVersion.replaceAll('+', '-')}` : basename(path, extname(path));

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

const NO_FILE: YamlFile = { value: {}, positionOf: () => 'command line' };

/** A key that is not known is told at its own place, others where the value stands; each with what was written there. */
function problemsOf(issue: z.core.$ZodIssue, value: unknown): readonly Problem[] {
  const { path, message } = issue;
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({ path: [...path, key], message: 'there is no such field' }));
  return [{ path, message: message + got(path.reduce(stepInto, value), issue.code) }];
}

const dotted = (path: Path): string => path.map(String).join('.') || 'fleet';

const stepInto = (value: unknown, key: PropertyKey): unknown =>
  typeof value === 'object' && value !== null
    ? (value as Record<PropertyKey, unknown>)[key]
    : undefined;

function got(value: unknown, code: z.core.$ZodIssue['code']): string {
  if (value === undefined) return code === 'custom' ? '' : ' (got nothing)';
  return typeof value === 'object' ? '' : ` (got ${JSON.stringify(value)})`;
}
