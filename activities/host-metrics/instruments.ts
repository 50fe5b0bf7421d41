import type { MetricMeter } from '@temporalio/common';

/** Step of a host of zero latency: under a millisecond; a guest's eject: up to a minute. */
const STEP_SECONDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];
/** Budgets are 100 ms to 30 s, by default 10 s; a VM that was saved alone is dark for minutes. */
const DARK_SECONDS = [0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 30, 60, 300];
/** 1 is where the budget ends. */
const SHARES = [0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.5, 2];

/**
 * The bounds of our histograms, by name. The SDK takes them when the process's runtime is made (`workers/telemetry.ts`),
 * before there is a meter.
 */
export const HISTOGRAM_BUCKETS: Record<string, number[]> = {
  holdfast_step_duration_seconds: STEP_SECONDS,
  holdfast_blackout_duration_seconds: DARK_SECONDS,
  holdfast_vf_outage_seconds: DARK_SECONDS,
  holdfast_blackout_budget_spent_ratio: SHARES,
};

/**
 * All that a host worker measures. Counters end in `_total`, which the exporter appends. No VM in any label, and the
 * host only where an alert has to name it: a process that serves hundreds of simulated hosts stays readable.
 */
export const createInstruments = (meter: MetricMeter) => ({
  stepDuration: meter.createHistogram(
    'holdfast_step_duration_seconds',
    'float',
    '',
    'How long a step took on the host, over all its attempts; of a failed attempt of a step by itself, how long that one took.',
  ),
  stepAttempts: meter.createCounter(
    'holdfast_step_attempts',
    '',
    'Attempts of steps: of a step by itself when one begins; of a step of a list when the host answers.',
  ),
  stepFailures: meter.createCounter(
    'holdfast_step_failures',
    '',
    'Attempts of steps that failed, by the type of the failure; `retried` if the host succeeded with the step in the end.',
  ),
  blackout: meter.createHistogram(
    'holdfast_blackout_duration_seconds',
    'float',
    '',
    'How long VMs were dark, by the clock of the host; counted when the operation is over.',
  ),
  vfOutage: meter.createHistogram(
    'holdfast_vf_outage_seconds',
    'float',
    '',
    'How long guests were without an active VF data path.',
  ),
  budgetSpent: meter.createHistogram(
    'holdfast_blackout_budget_spent_ratio',
    'float',
    '',
    'The share of the allowed darkness that a blackout took; above 1 it was exceeded.',
  ),
  beyondBudget: meter.createCounter(
    'holdfast_blackouts_beyond_budget',
    '',
    'Blackouts that took longer than allowed.',
  ),
  waysBack: meter.createCounter(
    'holdfast_ways_back',
    '',
    'VMs that came back, or were stranded, by the way they took.',
  ),
  deadManRescues: meter.createCounter(
    'holdfast_dead_man_rescues',
    '',
    'Blackouts that the dead-man ended, because no run did in time.',
  ),
  vms: meter.createGauge('holdfast_vms', 'int', '', 'VMs by the phase they are in.'),
  darkVms: meter.createGauge('holdfast_dark_vms', 'int', '', 'VMs that do not run now.'),
  darkBeyondBudget: meter.createGauge(
    'holdfast_vms_dark_beyond_budget',
    'int',
    '',
    'VMs that are dark now, for longer than allowed.',
  ),
  longestDarkness: meter.createGauge(
    'holdfast_longest_darkness_seconds',
    'float',
    '',
    'How long the VM that has been dark longest has been so; 0 if none is.',
  ),
  heldVfs: meter.createGauge(
    'holdfast_held_vfs',
    'int',
    '',
    'VFs that stay allocated and assigned while their VM does not run.',
  ),
  quarantined: meter.createGauge(
    'holdfast_host_quarantined',
    'int',
    '',
    '1 if the host takes no more work, after a breach or a stranded VM.',
  ),
  forbidden: meter.createCounter(
    'holdfast_forbidden_commands',
    '',
    'Commands against a held VF that the host refused, since the host was made.',
  ),
  invariantsChecked: meter.createCounter(
    'holdfast_invariants_checked',
    '',
    'Checks of invariants, since the host was made.',
  ),
  breaches: meter.createCounter(
    'holdfast_invariant_breaches',
    '',
    'Invariants that did not hold, since the host was made.',
  ),
  policyRejections: meter.createCounter(
    'holdfast_function_policy_rejections',
    '',
    'Function policy files that were read and do not count, since they are not valid.',
  ),
  policyInForce: meter.createGauge(
    'holdfast_function_policy_in_force',
    'int',
    '',
    '1 if there is a valid function policy; 0: every function command is denied.',
  ),
  describedAt: meter.createGauge(
    'holdfast_host_described_timestamp_seconds',
    'float',
    '',
    'When the host was last asked for the gauges here, seconds since 1970.',
  ),
});

export type Instruments = ReturnType<typeof createInstruments>;
