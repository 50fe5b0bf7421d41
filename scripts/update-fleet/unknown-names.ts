import { isTimeZone } from '../../activities/fleet/maintenance-window';
import { z } from '../../contract/zod';
import type { Path } from './yaml-file';

export interface Problem {
  readonly path: Path;
  readonly message: string;
}

const hostIds = z.catch(z.array(z.string()), []);
/** As much as it takes to look names up. What has another form than this is told by the schema of the file. */
const names = z.object({
  hosts: hostIds,
  exclude: hostIds,
  faults: z.catch(z.record(z.string(), z.unknown()), {}),
  inventory: z.catch(
    z.nullable(z.object({ hosts: z.array(z.object({ hostId: z.string() })) })),
    null,
  ),
  maintenanceWindow: z.catch(z.object({ timeZone: z.string() }), { timeZone: 'UTC' }),
});

/** Names that a fleet file uses and nobody has: hosts missing in its inventory (if it has one), and the time zone. */
export function unknownNames(file: object): readonly Problem[] {
  const { hosts, exclude, faults, inventory, maintenanceWindow } = z.parse(names, file);
  const known = new Set(inventory?.hosts.map((host) => host.hostId));
  const named: readonly { readonly hostId: string; readonly path: Path }[] = [
    ...hosts.map((hostId, index) => ({ hostId, path: ['hosts', index] })),
    ...exclude.map((hostId, index) => ({ hostId, path: ['exclude', index] })),
    ...Object.keys(faults).map((hostId) => ({ hostId, path: ['faults', hostId] })),
  ];
  const unknown = inventory === null ? [] : named.filter(({ hostId }) => !known.has(hostId));
  const { timeZone } = maintenanceWindow;
  return [
    ...unknown.map(({ path, hostId }) => ({
      path,
      message: `the inventory has no host ${hostId}`,
    })),
    ...(isTimeZone(timeZone)
      ? []
      : [
          {
            path: ['maintenanceWindow', 'timeZone'],
            message: `unknown time zone "${timeZone}"; it is an IANA name such as "Europe/Berlin"`,
          },
        ]),
  ];
}
