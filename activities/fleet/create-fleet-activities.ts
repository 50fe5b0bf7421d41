import { HoldfastError } from '../../contract/failures';
import type { UpdateFleetSettings } from '../../contract/fleet-input';
import type { KeptHost, PlanSummary } from '../../contract/fleet-plan';
import type {
  FleetCounts,
  FleetHost,
  FleetHostOutcome,
  FleetPlan,
  RefusedHost,
} from '../../contract/fleet-results';
import type { Inventory } from '../../contract/inventory';
import { isFailed, shortReason, unservicedHost } from '../../planning/fleet-outcomes';
import { planFleet } from '../../planning/fleet-plan';
import { toApplicationFailure } from '../failure';
import { probeHttp, probePrometheus } from '../probes/fleet-probes';
import type { FleetActivities } from './fleet-activities';
import type { FleetStore, KeptPlan } from './fleet-store';
import { windowState } from './maintenance-window';
import { refuseIfAny, selectFrom, timeZoneProblems } from './selection';
import { postSigned, webhookSecretProblem } from './webhook';

/** Below the server's limit on a payload of 2 MB. */
const PLAN_BYTES = 1.5 * 1024 * 1024;
const LISTED_HOSTS = 2_000;
const LISTED_REFUSED = 500;
const REFUSED_BYTES = 300 * 1024;

/** Outcomes that a health gate's look at the host adds something to. */
const GATED: readonly FleetHostOutcome[] = ['updated', 'degraded', 'unhealthy'];

/**
 * `loadInventory` is asked once for each run that brings no inventory of its own; `env` has the secret of the webhooks.
 */
export function createFleetActivities(
  store: FleetStore,
  loadInventory: () => Inventory,
  env: NodeJS.ProcessEnv = process.env,
): FleetActivities {
  const plans = {
    selectHosts: (planId: string, settings: UpdateFleetSettings) => {
      const unsigned = unsignedWebhooks(settings, env);
      const selected = selectFrom(inventoryOf(settings, unsigned), settings, unsigned);
      store.putSelection(planId, selected);
      return selected.map((host) => host.hostId);
    },
    planFleet: (planId: string, settings: UpdateFleetSettings) => {
      if (!store.hasPlan(planId)) keepPlan(planId, settings);
      return summaryOf(store.plan(planId));
    },
    readPlan: (planId: string) => {
      const plan = wholePlan(planId);
      const bytes = Buffer.byteLength(JSON.stringify(plan));
      if (bytes <= PLAN_BYTES) return plan;
      throw new HoldfastError(
        'PlanTooLarge',
        `The plan has ${String(bytes)} bytes, and a result holds ${String(PLAN_BYTES)}.`,
      );
    },
    readWave: (planId: string, wave: number) =>
      (store.plan(planId).waves.find((w) => w.number === wave)?.hostIds ?? [])
        .filter((hostId) => store.host(planId, hostId) === undefined)
        .map((hostId) => store.waveHost(planId, hostId)),
    findHost: (planId: string, hostId: string) => {
      const wave = store.plan(planId).waves.find((w) => w.hostIds.includes(hostId));
      if (wave === undefined) return null;
      return { wave: wave.number, outcome: store.host(planId, hostId)?.outcome ?? null };
    },
    markUnhealthy: (planId: string, hosts: readonly { hostId: string; reason: string }[]) => {
      store.putHosts(
        planId,
        hosts.flatMap(({ hostId, reason }): KeptHost[] => {
          const kept = store.host(planId, hostId);
          return kept === undefined || !GATED.includes(kept.outcome)
            ? []
            : [{ ...kept, outcome: 'unhealthy', reason: shortReason(reason) }];
        }),
      );
    },
    readUpdated: (planId: string) => {
      const { version } = store.plan(planId).update;
      return store
        .hosts(planId)
        .filter((host) => hasNewVersion(host, version))
        .sort((a, b) => b.order - a.order)
        .map(({ hostId, versionBefore }) => ({
          ...store.waveHost(planId, hostId),
          versionBefore: versionBefore ?? '',
        }));
    },
    readHosts: (planId: string) => {
      const { waves, refused } = store.plan(planId);
      const hosts = waves.flatMap(({ number, hostIds }) =>
        hostIds.map((hostId) => hostOf(planId, hostId, number)),
      );
      const blackouts = hosts.flatMap((host) => host.longestBlackoutMs ?? []);
      return {
        counts: countsOf(hosts),
        hosts: listed(hosts),
        refused: refusedListed(refused),
        longestBlackoutMs: blackouts.length === 0 ? null : Math.max(...blackouts),
      };
    },
  };

  return {
    selectHosts: async (...args) => answered(() => plans.selectHosts(...args)),
    keepSurveys: async (planId, surveys) => answered(() => store.putSurveys(planId, surveys)),
    planFleet: async (...args) => answered(() => plans.planFleet(...args)),
    readPlan: async (...args) => answered(() => plans.readPlan(...args)),
    readWave: async (...args) => answered(() => plans.readWave(...args)),
    keepHosts: async (planId, hosts) => answered(() => store.putHosts(planId, hosts)),
    findHost: async (...args) => answered(() => plans.findHost(...args)),
    markUnhealthy: async (...args) => answered(() => plans.markUnhealthy(...args)),
    readUpdated: async (...args) => answered(() => plans.readUpdated(...args)),
    readHosts: async (...args) => answered(() => plans.readHosts(...args)),
    checkWindow: async (window) => answered(() => windowState(window, Date.now())),
    notify: async (url, id, event) => void (await postSigned(url, id, event, { env })),
    probeHttp: (probe) => probeHttp(probe),
    probePrometheus: (probe) => probePrometheus(probe),
  };

  /** Without an inventory no host can be checked; what else is wrong is told all the same. */
  function inventoryOf(settings: UpdateFleetSettings, problems: readonly string[]): Inventory {
    try {
      return settings.inventory ?? loadInventory();
    } catch (error) {
      const { problems: ofInventory } = error instanceof HoldfastError ? error.facts : {};
      if (Array.isArray(ofInventory))
        refuseIfAny([...ofInventory.map(String), ...problems, ...timeZoneProblems(settings)]);
      throw error;
    }
  }

  function keepPlan(planId: string, settings: UpdateFleetSettings): void {
    const { waves, refused } = planFleet(store.selection(planId), store.surveys(planId), settings);
    store.putPlan(
      planId,
      {
        update: settings.update,
        waves: waves.map(({ number, canary, hosts }) => ({
          number,
          canary,
          hostIds: hosts.map((host) => host.hostId),
        })),
        refused,
      },
      waves.flatMap((wave) => wave.hosts),
    );
  }

  function wholePlan(planId: string): FleetPlan {
    const { waves, refused } = store.plan(planId);
    return {
      waves: waves.map(({ number, canary, hostIds }) => ({
        number,
        canary,
        hosts: hostIds.map((hostId) => store.planned(planId, hostId)),
      })),
      refused,
    };
  }

  function hostOf(planId: string, hostId: string, wave: number): FleetHost {
    const kept = store.host(planId, hostId);
    if (kept === undefined)
      return unservicedHost(hostId, wave, 'notStarted', 'the run ended before its turn');
    const { order, ...host } = kept;
    return host;
  }
}

const summaryOf = ({ waves, refused }: KeptPlan): PlanSummary => ({
  planned: waves.reduce((sum, wave) => sum + wave.hostIds.length, 0),
  refused: refused.length,
  upToDate: refused.filter((host) => host.why === 'upToDate').length,
  waves: waves.map(({ number, canary, hostIds }) => ({ number, canary, hosts: hostIds.length })),
});

function unsignedWebhooks(
  { notify, servicing }: UpdateFleetSettings,
  env: NodeJS.ProcessEnv,
): readonly string[] {
  const problem = webhookSecretProblem(env);
  if (problem === null) return [];
  const { webhook } = servicing.notice ?? {};
  return [
    ...notify.map((url, index) => `notify.${String(index)}: ${problem} (got "${url}")`),
    ...(webhook === undefined ? [] : [`servicing.notice.webhook: ${problem} (got "${webhook}")`]),
  ];
}

/** Whether a roll-back has something to do there: this run gave the host, or some of its VMs, the new version. */
const hasNewVersion = (
  { vmsUpdated, versionBefore, versionAfter }: KeptHost,
  version: string,
): boolean =>
  (versionAfter === version || vmsUpdated > 0) &&
  versionBefore !== null &&
  versionBefore !== version;

/** More than fit are listed with those first that need someone's attention. */
function listed(hosts: readonly FleetHost[]): readonly FleetHost[] {
  if (hosts.length <= LISTED_HOSTS) return hosts;
  const isUpdated = (host: FleetHost) => host.outcome === 'updated';
  return [...hosts.filter((h) => !isUpdated(h)), ...hosts.filter(isUpdated)].slice(0, LISTED_HOSTS);
}

/** Verdicts and reasons of many VMs do not all fit: then the beginning of each reason has to do. */
function refusedListed(refused: readonly RefusedHost[]): readonly RefusedHost[] {
  const first = refused.slice(0, LISTED_REFUSED);
  if (Buffer.byteLength(JSON.stringify(first)) <= REFUSED_BYTES) return first;
  return first.map((host) => ({ ...host, reason: shortReason(host.reason), vms: [] }));
}

function countsOf(hosts: readonly FleetHost[]): FleetCounts {
  const count = (outcome: FleetHostOutcome) => hosts.filter((h) => h.outcome === outcome).length;
  return {
    planned: hosts.length,
    updated: count('updated'),
    failed: hosts.filter((h) => isFailed(h.outcome, 'skip')).length,
    skipped: count('skipped'),
    busy: count('busy'),
    rolledBack: count('rolledBack'),
    notStarted: count('notStarted'),
  };
}

async function answered<T>(answer: () => T): Promise<T> {
  try {
    return await Promise.resolve(answer());
  } catch (error) {
    throw toApplicationFailure(error);
  }
}
