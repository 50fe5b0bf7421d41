import { GATES, type Gate } from './gates';
import type { CoreHost } from './state';

type Servicing = CoreHost['servicing'];

/**
 * The servicing run of a host is a record of its own, read when it is asked for and written if it was: it is longer than
 * the host, and most commands of a VM have nothing to do with it.
 */
export class ServicingRecords {
  readonly #whenRead = new WeakMap<CoreHost, Marks>();
  readonly #property: PropertyDescriptor & ThisType<CoreHost>;

  constructor(read: (hostId: string) => Servicing) {
    const whenRead = this.#whenRead;
    const keep = (host: CoreHost, value: Servicing) =>
      Object.defineProperty(host, 'servicing', { value, writable: true, enumerable: true });
    // One pair of functions for all hosts, so that they stay objects of one shape.
    this.#property = {
      get() {
        const servicing = read(this.hostId);
        whenRead.set(this, marksOf(servicing));
        keep(this, servicing);
        return servicing;
      },
      set(servicing: Servicing) {
        keep(this, servicing);
      },
      enumerable: true,
      configurable: true,
    };
  }

  /** The host of a record, which has all but its run. */
  hostOf(record: object): CoreHost {
    return Object.defineProperty(record, 'servicing', this.#property) as CoreHost;
  }

  /** The record of a host, and its run if anybody has asked for it. */
  recordsOf(host: CoreHost): { readonly record: object; readonly servicing?: Servicing } {
    const record: Record<string, unknown> = {};
    for (const key of Object.keys(host) as (keyof CoreHost)[])
      if (key !== 'servicing') record[key] = host[key];
    return isAsStored(host) ? { record } : { record, servicing: host.servicing };
  }

  /** What others than the VM may wait for, and is another since the run was read: gates, and `resumed`, its VMs that run again. */
  changed(host: CoreHost): readonly (Gate | 'resumed')[] {
    if (isAsStored(host)) return [];
    const before = this.#whenRead.get(host);
    // Set by somebody who has not looked at it: it may be another in everything.
    if (before === undefined) return MARKS;
    const now = marksOf(host.servicing);
    return MARKS.filter((mark) => before[mark] !== now[mark]);
  }
}

/** Nobody has asked for the run of this host. */
const isAsStored = (host: CoreHost): boolean =>
  Object.getOwnPropertyDescriptor(host, 'servicing')?.get !== undefined;

const MARKS = [...(Object.keys(GATES) as Gate[]), 'resumed'] as const;
type Marks = Readonly<Partial<Record<(typeof MARKS)[number], string | number>>>;

function marksOf(servicing: Servicing): Marks {
  if (servicing === null) return {};
  const marks: Record<string, string | number> = { resumed: servicing.resumed.length };
  for (const gate of Object.keys(GATES) as Gate[])
    marks[gate] = `${servicing.generation} ${GATES[gate](servicing)}`;
  return marks;
}
