import { wallTime } from '../clock';
import { markResumed, memberOf } from '../gates';
import type { Operations } from '../operation';
import { phaseOf } from '../phase';
import type { LeaseStep, Port } from '../port';
import { refused } from '../refused';
import type { CoreHost, CoreObjects, CoreVm } from '../state';

/** The lease goes back to nobody; with it goes what was for its holder alone. */
function release(vm: CoreVm): void {
  vm.lease = null;
  vm.nextLease = null;
  vm.faults = [];
  delete vm.versions;
}

/** A restore waits for a save of its servicing run that begins only now: what an older run had left is undone before. */
const isAwaited = ({ host: { servicing }, vm }: CoreObjects): boolean =>
  servicing?.aborted === null && vm.nextLease?.servicing === servicing.generation;

/** Of a VM that is back the host is not quarantined any more. */
function unstrand(host: CoreHost, { vmId }: CoreVm): void {
  host.stranded = host.stranded.filter((id) => id !== vmId);
}

/** The steps that end an operation on a VM, whatever hypervisor it has. */
export function leaseSteps<O extends CoreObjects>(port: Port<O>) {
  const isOver = ({ vm }: O, generation: number) => vm.lease?.generation !== generation;
  const refuseUnlessBack = ({ vm }: O, what: string): void => {
    const image = port.image(vm);
    if (!image.running) throw refused(`${vm.vmId} is ${phaseOf(vm, image)}: ${what}.`);
    if (image.hold !== null)
      throw refused(`The VF of ${vm.vmId} is still held; its lease cannot be given back.`);
  };
  return {
    /** A save on its own leaves the VM dark: the lease is given back, and the dead-man restores it when the time is up. */
    concludeSave: {
      releasesLease: true,
      notApplicable: (o) =>
        memberOf(o) === undefined ? undefined : 'the restore of the servicing run holds the VM',
      inPlace: isOver,
      observed: ({ vm, nowMs }) => ({
        restoredByHostAt: wallTime(Math.max(0, (vm.deadlineMs ?? nowMs) - nowMs)),
      }),
      effect: (c) =>
        c.run('Lease.Release', ({ vm, nowMs }) => {
          const { process, record } = port.image(vm);
          if (process !== 'exited' || record?.state !== 'committed')
            throw refused(`${vm.vmId} is not saved and torn down; its lease cannot be given back.`);
          const maxSavedForMs = vm.lease?.settings.maxSavedForMs ?? 0;
          vm.deadlineMs = nowMs + maxSavedForMs;
          vm.lease = null;
          vm.faults = [];
          return { restoredByHostAt: wallTime(maxSavedForMs) };
        }),
    },

    /** The VM is what it was before its operation; then the lease is given back. */
    verifyRestore: {
      releasesLease: true,
      inPlace: isOver,
      observed: (o) => ({ vm: port.describe(o) }),
      effect: (c) =>
        c.run('Lease.Release', (o) => {
          refuseUnlessBack(o, 'there is nothing to verify yet');
          port.verify?.(o);
          unstrand(o.host, o.vm);
          release(o.vm);
          return { vm: port.describe(o) };
        }),
    },

    /** The lease is given back; what was prepared for a restore is not needed. */
    endOperation: {
      releasesLease: true,
      inPlace: isOver,
      effect: (c) =>
        c.run('Lease.Release', (o) => {
          refuseUnlessBack(o, 'its lease cannot be given back');
          // The dead-man ends a restore of a stranded VM in this way too, when the run that tried it is gone.
          unstrand(o.host, o.vm);
          o.vm.deadlineMs = null;
          if (isAwaited(o)) o.vm.lease = null;
          else {
            release(o.vm);
            port.discardSuccessor(o.vm);
          }
          return {};
        }),
    },

    /** No way forward is known to be safe: the VM stays held and paused, and the host takes no more work. */
    strandVm: {
      inPlace: ({ vm }) => vm.stranded !== null,
      effect: (c) =>
        c.run('Host.Quarantine', ({ host, vm }) => {
          vm.stranded = `no safe way forward after generation ${c.generation}`;
          vm.path = 'stranded';
          vm.pathReason = vm.stranded;
          vm.deadlineMs = null;
          vm.lease = null;
          vm.nextLease = null;
          // Nobody waits for it any more: its place at the gate of the restores is free.
          markResumed(host, vm.vmId);
          // The restore of this very VM lifts the quarantine again.
          if (!host.stranded.includes(vm.vmId)) host.stranded.push(vm.vmId);
          return {};
        }),
    },
  } as const satisfies Operations<O, LeaseStep>;
}
