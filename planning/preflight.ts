import type { HostSurvey } from '../contract/host';
import type { Component, Mode, ServiceHostSettings } from '../contract/inputs';
import type { Verdict, VmVerdict } from '../contract/results';

/** What an update of a component allows (host model, section 7). */
const COMPONENT_RULES: Readonly<
  Record<
    Component,
    {
      readonly keeps: 'always' | 'with-custody' | 'never';
      readonly conventional: boolean;
      readonly why: string;
    }
  >
> = {
  vmWorkerProcess: {
    keeps: 'always',
    conventional: true,
    why: 'each VM gets a new worker process; its VF is held below it',
  },
  vpciVsp: {
    keeps: 'with-custody',
    conventional: true,
    why: 'the VSP has custody of the bus connections, unless the host keeps them below it',
  },
  vmSwitch: {
    keeps: 'never',
    conventional: true,
    why: 'the VM switch allocated the VFs and must free them all before it can be halted',
  },
  pfDriver: { keeps: 'never', conventional: true, why: 'halting the PF driver frees its VFs' },
  nicFirmware: { keeps: 'never', conventional: true, why: 'a firmware reset takes every VF away' },
  hypervisor: {
    keeps: 'never',
    conventional: false,
    why: 'guest memory in place is lost with the hypervisor; migrate the VMs instead',
  },
};

type Wish = Pick<ServiceHostSettings, 'update' | 'mode' | 'onCannotKeep'>;
type Host = Pick<HostSurvey, 'capabilities'> & {
  readonly vms: readonly Pick<HostSurvey['vms'][number], 'vmId' | 'phase'>[];
};

/** The verdict for every VM of a host, with its reason; nothing is touched. */
export function preflight(host: Host, wish: Wish): readonly VmVerdict[] {
  return host.vms.map((vm) => ({ vmId: vm.vmId, ...verdictFor(vm, host, wish) }));
}

function verdictFor(vm: Host['vms'][number], host: Host, wish: Wish): Omit<VmVerdict, 'vmId'> {
  const rule = COMPONENT_RULES[wish.update.component];
  // One that a run prepares still runs; whether that run may be taken over is found out when the VM's lease is asked for.
  if (vm.phase !== 'running' && vm.phase !== 'preparing') {
    return { verdict: 'blocked', reason: `the VM is ${vm.phase}, not running` };
  }
  if (host.capabilities.recordVersions.length === 0) {
    return { verdict: 'blocked', reason: 'old and new stack have no record version in common' };
  }
  const keeps =
    rule.keeps === 'always' || (rule.keeps === 'with-custody' && host.capabilities.custodyBelowVsp);
  if (keeps && wish.mode === 'modified') return { verdict: 'keep', reason: rule.why };
  if (!rule.conventional) return { verdict: 'blocked', reason: rule.why };
  if (wish.mode === 'conventional') return { verdict: 'conventional', reason: 'asked for by mode' };
  return wish.onCannotKeep === 'conventional'
    ? { verdict: 'conventional', reason: rule.why }
    : { verdict: 'blocked', reason: rule.why };
}

export const modeOf = (verdict: Exclude<Verdict, 'blocked'>): Mode =>
  verdict === 'keep' ? 'modified' : 'conventional';
