import type { Client } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { SEARCH_ATTRIBUTES } from '../contract/search-attributes';

/**
 * Makes sure that the namespace knows holdfast's search attributes; without them the first workflow task of every run
 * would fail for ever. On a cluster where this is not allowed, says what an administrator has to run.
 */
export async function ensureSearchAttributes(client: Client, namespace: string): Promise<void> {
  const { operatorService } = client.connection;
  const { IndexedValueType } = temporal.api.enums.v1;
  const types = { Keyword: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD } as const;
  const known = await operatorService.listSearchAttributes({ namespace });
  const missing = Object.entries(SEARCH_ATTRIBUTES).filter(
    ([name]) => !(name in known.customAttributes),
  );
  if (missing.length === 0) return;
  try {
    await operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map(([name, type]) => [name, types[type]])),
    });
  } catch (cause) {
    const commands = missing.map(([name, type]) => `--name ${name} --type ${type}`).join(' ');
    throw new Error(
      `Namespace ${namespace} lacks search attributes and they cannot be added from here. Run: temporal operator search-attribute create --namespace ${namespace} ${commands}`,
      { cause },
    );
  }
}
