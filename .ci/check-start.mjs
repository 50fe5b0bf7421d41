// Checks the document that `npm start -- --json` printed: every VM ran on with its own VF, nothing was violated.
import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';

const report = JSON.parse(readFileSync(process.argv[2], 'utf8'));
assert.equal(report.forbiddenCommands, 0, 'forbidden commands');
assert.equal(report.invariants.violated, 0, 'violated invariants');
assert.ok(report.invariants.checked > 0, 'no invariant was checked');
assert.equal(report.hosts.length, 3, 'hosts');
for (const host of report.hosts) {
  assert.equal(host.outcome, 'updated', host.hostId);
  assert.equal(host.vms.length, 4, `${host.hostId}: VMs`);
  for (const vm of host.vms) {
    assert.equal(vm.path, 'kept', vm.vmId);
    assert.equal(vm.vfId.after, vm.vfId.before, `${vm.vmId}: VF ID`);
    assert.equal(vm.luid.after, vm.luid.before, `${vm.vmId}: LUID`);
    assert.equal(vm.guestVisibleEvents, 0, `${vm.vmId}: guest-visible events`);
    assert.ok(
      vm.blackoutMs > 0 && vm.blackoutMs < 30_000,
      `${vm.vmId}: blackout ${vm.blackoutMs} ms`,
    );
    assert.ok(vm.steps.length > 0, `${vm.vmId}: steps`);
  }
}
const longest = Math.max(...report.hosts.flatMap((host) => host.vms.map((vm) => vm.blackoutMs)));
console.log(
  `3 hosts with 4 VMs each updated, every VF kept, longest blackout ${longest.toFixed(0)} ms`,
);
