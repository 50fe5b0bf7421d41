/**
 * Every failure holdfast can end with: whether another attempt may help, what it means, and what an operator does.
 * The type string is what Temporal shows and what retry policies, the UI and scripts match on.
 */
interface FailureKind {
  readonly retryable: boolean;
  readonly meaning: string;
  readonly nextAction: string;
}

export const FAILURES = {
  InvalidInput: {
    retryable: false,
    meaning: 'The input is not what the workflow takes; nothing was touched.',
    nextAction: 'Correct the named fields and start again.',
  },
  UnknownHost: {
    retryable: false,
    meaning: 'No worker knows a host of this name.',
    nextAction: 'Check the host name, or register the host with its worker.',
  },
  UnknownVm: {
    retryable: false,
    meaning: 'The host has no VM of this name.',
    nextAction: 'Check the VM name against the list in the message.',
  },
  EmptyHost: {
    retryable: false,
    meaning: 'The host has no VM, so there is nothing to keep.',
    nextAction: 'Update the host directly, or choose another host.',
  },
  HostUnreachable: {
    retryable: false,
    meaning: 'No worker took a step for this host in time.',
    nextAction:
      'Start the host worker, check its connection to Temporal, then start the run again.',
  },
  HostBusy: {
    retryable: false,
    meaning: 'Another run holds the host.',
    nextAction: 'Wait for the run named in the message, or cancel it.',
  },
  VmBusy: {
    retryable: false,
    meaning: 'Another run holds the VM.',
    nextAction: 'Wait for the run named in the message, or cancel it.',
  },
  Fenced: {
    retryable: false,
    meaning: 'A newer generation took the VM or host over; this late step changed nothing.',
    nextAction: 'Look at the run that holds it now.',
  },
  NotSupportedByDriver: {
    retryable: false,
    meaning: 'The driver of the host cannot do a step that the run needs; nothing was touched.',
    nextAction: 'Choose a mode without that step, or a host whose driver can do it.',
  },
  AdoptRefused: {
    retryable: false,
    meaning: 'The VM cannot be taken over from the old run at this step; nothing was changed.',
    nextAction:
      'Look at who holds the VM and at what is in place: fork at a step that the message allows, or start a new run.',
  },
  NotRunning: {
    retryable: false,
    meaning: 'The VM does not run, so it cannot be saved.',
    nextAction: 'Restore or start the VM first.',
  },
  AlreadySaved: {
    retryable: false,
    meaning: 'The VM is saved already.',
    nextAction: 'Run fastRestore for it.',
  },
  NoRecord: {
    retryable: false,
    meaning: 'There is no committed record to restore the VM from; a running VM needs no restore.',
    nextAction: 'Run fastSave first.',
  },
  NotReady: {
    retryable: false,
    meaning:
      'The VM is in the middle of something that must end first (data-path switch, device reset).',
    nextAction: 'Wait a few seconds and start again.',
  },
  NotReachedInTime: {
    retryable: true,
    meaning: 'The other VMs or the update have not got there yet.',
    nextAction: 'Nothing: the step waits again within its window.',
  },
  CannotKeep: {
    retryable: false,
    meaning: 'This update cannot keep the VFs of the named VMs.',
    nextAction:
      'Set onCannotKeep to "conventional" to give up their VFs for the update, or to "migrate", with other hosts in migrateTo.',
  },
  BlackoutAllowanceSpent: {
    retryable: false,
    meaning:
      'The named VMs were dark so long of late that another blackout could exceed their allowance.',
    nextAction:
      'Wait until enough of the period has passed, or agree on a larger blackoutAllowance.',
  },
  FaultsNotSupported: {
    retryable: false,
    meaning: 'Faults can only be injected into simulated hosts.',
    nextAction: 'Leave "faults" out of the input.',
  },
  Refused: {
    retryable: false,
    meaning: 'The host refused an illegal move; nothing changed.',
    nextAction:
      'Read the two states in the message; if no operator did this by hand, report it as a bug.',
  },
  ForbiddenCommand: {
    retryable: false,
    meaning: 'A command that would lose a held VF was refused and recorded.',
    nextAction: 'Report it as a bug with the exported history; the VF is safe.',
  },
  FunctionPolicyDenied: {
    retryable: false,
    meaning: 'The function policy denies this command to this caller; nothing was changed.',
    nextAction:
      'Ask for what the message says is allowed, or have the named rule of the policy file changed.',
  },
  FunctionPolicyUnavailable: {
    retryable: false,
    meaning: 'There is no valid function policy, so that every function command is denied.',
    nextAction:
      'Mend the policy file or database that the message names: a file is read again at once. VMs that are saved or paused come back all the same.',
  },
  FunctionCapacityExceeded: {
    retryable: false,
    meaning: 'The physical function has not as much free as was asked for; nothing was changed.',
    nextAction: 'Ask for no more than the message says is free, or give some of another VF back.',
  },
  UnknownFunction: {
    retryable: false,
    meaning: 'The host has no function of this id.',
    nextAction: 'Check the id against the list in the message; listFunctions shows all.',
  },
  InvariantBreach: {
    retryable: false,
    meaning: 'An invariant did not hold after a command; the host is quarantined.',
    nextAction: 'Do not service this host; export the history and the journal and report it.',
  },
  HostQuarantined: {
    retryable: false,
    meaning: 'The host is quarantined after an earlier breach or a stranded VM.',
    nextAction:
      'Restore the stranded VM, which lifts it; after a breach, export the journal and rebuild the host before you service it.',
  },
  HostStepFailed: {
    retryable: true,
    meaning: 'The host failed to perform the step, or its reply was lost.',
    nextAction: 'If retries did not help, read the host journal for this step.',
  },
  BarrierBroken: {
    retryable: false,
    meaning: 'Another VM of the host could not be saved, or the run was stopped, so no VM crosses.',
    nextAction: 'Look at the VM named in the message; all VMs run again on the old version.',
  },
  IdentityMismatch: {
    retryable: false,
    meaning: 'The VF on the host is not the one that was saved.',
    nextAction: 'Nothing: the VF is attached anew.',
  },
  ConfigEpochChanged: {
    retryable: false,
    meaning: 'The VF was reset or reconfigured while it was held.',
    nextAction: 'Nothing: the VF is attached anew.',
  },
  VirtualFunctionLost: {
    retryable: false,
    meaning: 'The VF is not allocated or not assigned any more.',
    nextAction: 'Nothing: a VF is attached anew when there is one.',
  },
  VmStateLost: {
    retryable: false,
    meaning: 'The saved state of the VM cannot be used.',
    nextAction: 'The VM is started cold; tell its owner that guest memory was lost.',
  },
  RecordUnreadable: {
    retryable: false,
    meaning: 'The version that restores the VM cannot read its record, which is whole.',
    nextAction: 'Nothing: the VM goes back to the version that wrote it. Mend the update.',
  },
  SuccessorEnded: {
    retryable: false,
    meaning: 'The worker process that was to take the VM over has ended before it did.',
    nextAction: 'Nothing: the VM goes back to the version that it ran. Look why the process ended.',
  },
  VirtualFunctionsExhausted: {
    retryable: false,
    meaning: 'The PF has no free VF.',
    nextAction: 'Free a VF, then attach one to the VM; it runs on the synthetic path meanwhile.',
  },
  BlackoutBudgetSpent: {
    retryable: false,
    meaning: 'The VM was dark as long as its budget allows.',
    nextAction:
      'Look at the step that took the time; raise blackoutBudget (at most 30s) only if tenants agree.',
  },
  SaveUndone: {
    retryable: false,
    meaning: 'The save failed before the point of no return; the VM runs as before, with its VF.',
    nextAction: 'Mend the cause below, then start again.',
  },
  DestinationUnfit: {
    retryable: false,
    meaning: 'The destination cannot take the VM as it is; nothing was touched.',
    nextAction: 'Mend what the message lists, or choose another destination.',
  },
  DrainTimedOut: {
    retryable: false,
    meaning: 'Commands on the passthrough path did not complete within drainTimeLimit.',
    nextAction: 'Look at the device that keeps them, or raise drainTimeLimit.',
  },
  MigrationUndone: {
    retryable: false,
    meaning:
      'The migration failed before its source had relinquished the VM, which runs there as before.',
    nextAction: 'Mend the cause below, then start again.',
  },
  MigrationUnfinished: {
    retryable: false,
    meaning:
      'A migration of the VM has begun and is not over; past the relinquish it can only go forward.',
    nextAction:
      'Run migrateVm for it with the hosts named in the message: it goes on from where they are.',
  },
  UpdateFailed: {
    retryable: false,
    meaning: 'The update could not be staged or committed.',
    nextAction: 'Mend the cause below; the VMs run on the old version.',
  },
  HostNotUpdated: {
    retryable: false,
    meaning: 'The host runs the old version; every VM runs.',
    nextAction: 'Mend the cause below, then service the host again.',
  },
  HostMixed: {
    retryable: false,
    meaning: 'Some VMs of the host run the new version, the others the old one; every VM runs.',
    nextAction:
      'Mend the cause below and start again, which goes on with the VMs that are left; or service the host with the old version, which takes back those that were updated.',
  },
  CanaryFailed: {
    retryable: false,
    meaning: 'The first VM on the new version is not as it was; no other was updated.',
    nextAction:
      'Look at the VM named in the message. Service the host with the old version to take it back, or start again once it is well.',
  },
  ThirdVersion: {
    retryable: false,
    meaning: 'The VMs of the host run two versions, and the update would bring a third.',
    nextAction:
      'Finish or take back the update that was begun, or set rolling.allowThirdVersion; nothing was touched.',
  },
  EmptySelection: {
    retryable: false,
    meaning: 'No host of the inventory meets the selection; an empty selection never means "all".',
    nextAction: 'Correct hosts, selector or exclude, and start again; nothing was touched.',
  },
  TooManyHosts: {
    retryable: false,
    meaning: 'The selection has more hosts than maxHosts allows.',
    nextAction:
      'Select fewer hosts, or raise maxHosts if all of these are meant; nothing was touched.',
  },
  NothingPlanned: {
    retryable: false,
    meaning: 'Every selected host was refused by the plan, and not because it is up to date.',
    nextAction: 'Mend what the reasons name, then start again; nothing was touched.',
  },
  PlanTooLarge: {
    retryable: false,
    meaning: 'The plan with a verdict for every VM does not fit into one result.',
    nextAction: 'Plan fewer hosts at a time with dryRun; a run itself has no such limit.',
  },
  ControlRefused: {
    retryable: false,
    meaning: 'The fleet update cannot do what was asked for as it stands; nothing changed.',
    nextAction: 'Look at its progress, then ask for what fits.',
  },
  FleetAborted: {
    retryable: false,
    meaning: 'The fleet update was aborted; hosts in flight were let finish, no more were started.',
    nextAction: 'Start again when the reason is gone: hosts that are up to date are left out.',
  },
  FleetStopped: {
    retryable: false,
    meaning: 'The fleet update stopped itself: more failures than allowed, or a health gate.',
    nextAction: 'Look at the hosts in the details, mend the cause, then start again.',
  },
  FleetRolledBack: {
    retryable: false,
    meaning: 'The fleet update stopped itself, and the hosts that it had updated were taken back.',
    nextAction: 'Look at the failure that stopped it; mend the update before you start again.',
  },
  NoticeUnacknowledged: {
    retryable: true,
    meaning: 'The tenants’ webhook answers, but has not said yet that the notice is acknowledged.',
    nextAction: 'Nothing: it is asked again until the time of the notice is up.',
  },
  WebhookUndelivered: {
    retryable: true,
    meaning: 'A webhook did not answer, or said that it is overloaded or out of order.',
    nextAction: 'If it stays so, look whether its address can be reached from the orchestrator.',
  },
  WebhookRefused: {
    retryable: false,
    meaning:
      'A webhook does not take what it is sent, or the orchestrator has no secret to sign with.',
    nextAction:
      'Look at its answer in the message; set HOLDFAST_WEBHOOK_SECRET where it is missing.',
  },
  VmRestarted: {
    retryable: false,
    meaning: 'The VM had to be started cold; guest memory is lost.',
    nextAction: 'Tell the VM’s owner; look at the cause below.',
  },
  VmStranded: {
    retryable: false,
    meaning:
      'There is no way forward that is known to be safe; the VM stays held and paused, the host is quarantined.',
    nextAction:
      'Do not restart the host. Read the journal, mend the cause, then run fastRestore for the VM.',
  },
} as const satisfies Record<string, FailureKind>;

export type FailureType = keyof typeof FAILURES;
export const isFailureType = (type: string | null | undefined): type is FailureType =>
  type != null && Object.hasOwn(FAILURES, type);

/** A failure of the host or of planning, before it is put on the wire. The message says what, where and what to do. */
export class HoldfastError extends Error {
  override readonly name = 'HoldfastError';
  constructor(
    readonly type: FailureType,
    what: string,
    readonly facts: Readonly<Record<string, unknown>> = {},
    /** The host has given the step up, and will answer nothing else: no other attempt helps, whatever its kind says. */
    readonly isForGood = false,
  ) {
    super(`${what} ${FAILURES[type].nextAction}`);
  }

  /** What it said, without what to do. */
  get what(): string {
    return this.message.slice(0, -FAILURES[this.type].nextAction.length - 1);
  }
}
