import { restoreFlow, saveFlow } from '../contract/flows';
import type { HostSurvey } from '../contract/host';
import {
  isPerVm,
  type Component,
  type Mode,
  type ServiceHostSettings,
  type Update,
} from '../contract/inputs';
import type { Verdict, VmVerdict } from '../contract/results';
import { predictedBlackout } from './predicted-blackout';

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
type Host = Pick<HostSurvey, 'capabilities' | 'unsupported' | 'expected'> & {
  readonly vms: readonly Pick<HostSurvey['vms'][number], 'vmId' | 'phase' | 'stackVersion'>[];
};

/** The verdict for every VM of a host, with its reason; nothing is touched. */
export function preflight(host: Host, wish: Wish): readonly VmVerdict[] {
  const verdicts = host.vms.map((vm) => ({ vmId: vm.vmId, ...verdictFor(vm, host, wish) }));
  const { expected } = host;
  if (expected === undefined) return verdicts;
  const together = isPerVm(wish.update.component) ? null : verdicts.filter(staysHere).length;
  return verdicts.map((vm) =>
    staysHere(vm)
      ? { ...vm, blackout: predictedBlackout(expected, modeOf(vm.verdict), together) }
      : vm,
  );
}

function verdictFor(vm: Host['vms'][number], host: Host, wish: Wish): Omit<VmVerdict, 'vmId'> {
  const rule = COMPONENT_RULES[wish.update.component];
  // One that a run prepares still runs; whether that run may be taken over is found out when the VM's lease is asked for.
  if (vm.phase !== 'running' && vm.phase !== 'preparing') {
    return { verdict: 'blocked', reason: `the VM is ${vm.phase}, not running` };
  }
  if (isPerVm(wish.update.component) && vm.stackVersion === wish.update.version)
    return { verdict: 'there', reason: `it runs ${wish.update.version} already` };
  if (host.capabilities.recordVersions.length === 0) {
    return { verdict: 'blocked', reason: 'old and new stack have no record version in common' };
  }
  const keeps =
    rule.keeps === 'always' || (rule.keeps === 'with-custody' && host.capabilities.custodyBelowVsp);
  const missing = unsupportedSteps(host, wish.mode);
  const why = missing.length === 0 ? rule.why : `the host's driver cannot do ${missing.join(', ')}`;
  if (keeps && wish.mode === 'modified' && missing.length === 0)
    return { verdict: 'keep', reason: why };
  const conventional = rule.conventional && unsupportedSteps(host, 'conventional').length === 0;
  if (conventional && wish.mode === 'conventional')
    return { verdict: 'conventional', reason: 'asked for by mode' };
  if (wish.onCannotKeep === 'migrate') return { verdict: 'migrate', reason: why };
  return conventional && wish.onCannotKeep === 'conventional'
    ? { verdict: 'conventional', reason: why }
    : { verdict: 'blocked', reason: why };
}

/** Whether nothing is left to be done on a host: also no VM, where each has its own of what is updated. */
export const isUpToDate = (
  { versions, vms }: Pick<HostSurvey, 'versions' | 'vms'>,
  { component, version }: Update,
): boolean =>
  versions[component] === version &&
  (!isPerVm(component) || vms.every(({ stackVersion }) => stackVersion === version));

/** Why the update would bring one version too many to the VMs of a host; null: it does not. */
export function thirdVersion(
  { hostId, vms }: Pick<HostSurvey, 'hostId'> & Pick<Host, 'vms'>,
  { update, rolling }: Pick<ServiceHostSettings, 'update' | 'rolling'>,
): string | null {
  const inUse = [...new Set(vms.map(({ stackVersion }) => stackVersion))];
  const isThird = inUse.length > 1 && !inUse.includes(update.version);
  if (!isPerVm(update.component) || rolling.allowThirdVersion || !isThird) return null;
  return `The VMs of ${hostId} run ${inUse.join(' and ')}; ${update.version} would be a third version.`;
}

/** The steps of a save and its restore that the host's driver cannot do. */
export function unsupportedSteps({ unsupported = [] }: Pick<Host, 'unsupported'>, mode: Mode) {
  const needed = [
    ...saveFlow({ mode }),
    ...restoreFlow({ mode, virtualFunctionRestore: 'step-by-step' }),
  ];
  return needed.filter((step) => unsupported.includes(step));
}

/** VMs that are saved and restored where they are. */
export const staysHere = <V extends { readonly verdict: Verdict }>(
  vm: V,
): vm is V & { readonly verdict: 'keep' | 'conventional' } =>
  vm.verdict === 'keep' || vm.verdict === 'conventional';

export const modeOf = (verdict: 'keep' | 'conventional'): Mode =>
  verdict === 'keep' ? 'modified' : 'conventional';
