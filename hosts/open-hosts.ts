import { toMs } from '../contract/durations';
import { HARD_BLACKOUT_LIMIT } from '../contract/inputs';
import type { Inventory } from '../contract/inventory';
import { DeadMan } from './engine/dead-man';
import type { HostDriver } from './host-driver';
import { goneOn, type Moment, type Simulation } from './simulator/beginnings';
import { createFleet, type FleetShape } from './simulator/fleet';
import { ensurePolicy, loadPolicy, type Loaded } from './simulator/functions/policy-in-force';
import { inventoryOf } from './simulator/inventory';
import { loadProfile } from './simulator/latency';
import { SimulatedHosts } from './simulator/simulated-host';
import { SimulatorStore } from './simulator/store';

/** The one place that knows which drivers there are: everybody else asks a `HostDriver`. */

export { CannotRebuild, simulationOf, type Simulation } from './simulator/beginnings';
export { RING_SIZE } from './simulator/devices/physical-function';
export { ADAPTER_MIXES, vmIdsOf, type FleetShape } from './simulator/fleet';
export type { Loaded } from './simulator/functions/policy-in-force';
export { loadProfile } from './simulator/latency';

export interface Latencies {
  /** Latency profile of simulated hosts: default, zero, or a JSON file. */
  readonly profile: string;
  /** Scales them; default: what the profile says. */
  readonly timeScale?: number;
}

/** The hosts of one directory, which any number of processes may have open. */
export class Hosts {
  private constructor(
    private readonly store: SimulatorStore,
    private readonly hosts: SimulatedHosts,
  ) {}

  static open(directory: string, { profile, timeScale }: Latencies): Hosts {
    const latencies = loadProfile(profile);
    const store = new SimulatorStore(directory);
    ensurePolicy(store);
    const paced = { ...latencies, timeScale: timeScale ?? latencies.timeScale };
    const hosts = new SimulatedHosts(store, paced);
    hosts.enterThisBoot();
    return new Hosts(store, hosts);
  }

  get driver(): HostDriver {
    return this.hosts;
  }

  hostIds(): readonly string[] {
    return this.store.hostIds();
  }

  vmIds(hostId: string): readonly string[] {
    return this.store.host(hostId).vmIds;
  }

  /** Makes the simulated hosts that do not exist yet; existing ones are left as they are. Answers all host ids. */
  create(shape: FleetShape): readonly string[] {
    return createFleet(this.store, shape);
  }

  /** Makes a simulated host as it was recorded, or makes it so again, as if that moment were this one. */
  rebuild(simulation: Simulation, moment: Moment): void {
    const { host, pfs, vms } = goneOn(simulation, moment);
    this.store.putHost(host, pfs, vms);
  }

  inventory(): Inventory {
    return inventoryOf(this.store);
  }

  /** Goes on with what was issued for dark VMs of the host by a process that has died since. */
  goOn(hostId: string): void {
    for (const vmId of this.vmIds(hostId)) this.hosts.performers.goOn(hostId, vmId);
  }

  /** Ends when no VM is dark any more that this process performs steps of, or after the longest blackout. */
  async endBlackouts(): Promise<void> {
    await this.hosts.performers.stop(toMs(HARD_BLACKOUT_LIMIT));
  }

  /** Brings VMs back whose deadline passed while nobody else did, until `signal`. */
  watchDeadlines(say: (line: string) => void, signal: AbortSignal): Promise<void> {
    return new DeadMan(this.hosts, say).watch(signal);
  }

  /** Puts a function policy file in force for all processes that serve hosts of the directory, or says why not. */
  loadFunctionPolicy(path: string): Loaded {
    return loadPolicy(this.store, path);
  }

  hasFunctionPolicy(): boolean {
    return this.store.functions.inForce().policy !== null;
  }

  async close(): Promise<void> {
    await this.store.close();
  }
}
