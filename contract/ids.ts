import { z } from './zod';

/** A name: 1–63 letters, digits, dots, dashes or underscores, starting with a letter or digit. */
export const name = (what: string, example: string) =>
  z
    .string(`${what} must be a string such as "${example}"`)
    .check(
      z.regex(
        /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
        `${what} must be 1-63 letters, digits, dots, dashes or underscores, starting with a letter or digit`,
      ),
    );

export const hostId = name('hostId', 'host-01');
export const vmId = name('vmId', 'vm-01');

/** Who holds a lease on a VM or a host: one run of one workflow, or the host's own dead-man. */
export interface Holder {
  readonly workflowId: string;
  readonly runId: string;
}

/** The host itself, when it brings a VM back whose run is not there to do it. Its lease is never taken over. */
export const DEAD_MAN: Holder = { workflowId: 'dead-man', runId: 'host' };

/**
 * What identifies a VF and its device and must be equal before and after a modified save and restore
 * (invariant I2). `vfId`: the VF on its PF; `luid`: the VF device; `rid`: PCIe routing id; `instanceGuid`:
 * the VMBus instance, from which the guest derives its PCI domain.
 */
export interface VirtualFunctionIdentity {
  readonly vfId: number;
  readonly luid: string;
  readonly rid: string;
  readonly serialNumber: number;
  readonly macAddress: string;
  readonly instanceGuid: string;
}
