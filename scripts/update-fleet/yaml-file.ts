import { readFileSync } from 'node:fs';
import { LineCounter, isMap, isNode, isScalar, parseDocument, visit, type Document } from 'yaml';
import { reasonOf } from '../../tools/reason';
import { CannotUpdate } from './ended';

export type Path = readonly PropertyKey[];

/** What a YAML (or JSON) file says, and where. */
export interface YamlFile {
  readonly value: unknown;
  /** `file:line:column` of a field, or of the nearest one around it. */
  readonly positionOf: (path: Path) => string;
}

/** Fails with {@link CannotUpdate}, which tells everything that is malformed with its line and column. */
export function readYaml(path: string): YamlFile {
  const lineCounter = new LineCounter();
  const document = parseDocument(textOf(path), { lineCounter, prettyErrors: false });
  const at = (offset: number) => {
    const { line, col } = lineCounter.linePos(offset);
    return `${path}:${String(line)}:${String(col)}`;
  };
  const broken = [...document.errors, ...document.warnings].map(
    (e) => `${at(e.pos[0])}: ${e.message}`,
  );
  visit(document, {
    Alias(_, alias) {
      if (alias.resolve(document) !== undefined) return;
      broken.push(
        `${at(alias.range?.[0] ?? 0)}: nothing before it has the anchor &${alias.source}`,
      );
    },
  });
  if (broken.length > 0) throw new CannotUpdate(`${broken.join('\n')}\nNothing was started.`);
  return { value: document.toJS(), positionOf: (field) => at(offsetOf(document, field)) };
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new CannotUpdate(`The fleet file ${path} cannot be read: ${reasonOf(error)}`);
  }
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
