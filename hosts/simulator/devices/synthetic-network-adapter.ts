import { move, type LegalMoves } from '../legal-moves';

/** The VM synthetic network adapter, a VDEV in the worker process, in the HCS lifecycle's own names. */
export interface SyntheticAdapterState {
  state: AdapterPhase;
  optimizations: Optimizations;
  /** The flags and weight of claim 16: what the switch and NIC believe. Cleared with each new VDEV. */
  vfAssigned: boolean;
  vfIdAllocated: boolean;
  iovWeight: number;
}
type AdapterPhase =
  | 'Created'
  | 'Initialized'
  | 'ResourcesReserved'
  | 'PoweredOn'
  | 'Running'
  | 'Paused'
  | 'Saved'
  | 'TornDown';
type Optimizations = 'enabled' | 'disabling' | 'disabled';

const MOVES: LegalMoves<AdapterPhase> = {
  Created: ['Initialized', 'TornDown'],
  Initialized: ['ResourcesReserved', 'TornDown'],
  ResourcesReserved: ['PoweredOn', 'TornDown'],
  PoweredOn: ['Running', 'TornDown'],
  Running: ['Paused'],
  Paused: ['Running', 'Saved'],
  Saved: ['Paused', 'TornDown'],
  TornDown: [],
};
const OPTIMIZATION_MOVES: LegalMoves<Optimizations> = {
  enabled: ['disabling'],
  disabling: ['disabled', 'enabled'],
  disabled: ['enabled'],
};

export const createAdapter = (): SyntheticAdapterState => ({
  state: 'Created',
  optimizations: 'disabled',
  vfAssigned: false,
  vfIdAllocated: false,
  iovWeight: 0,
});

const verb = (to: AdapterPhase) => (a: SyntheticAdapterState) => {
  a.state = move('synthetic network adapter', MOVES, a.state, to);
};
export const initialize = verb('Initialized');
export const finishReservingResources = verb('ResourcesReserved');
export const powerOn = verb('PoweredOn');
export const resume = verb('Running');
export const pause = verb('Paused');
export const save = verb('Saved');
export const unsave = verb('Paused');
export const tearDown = verb('TornDown');

const optimizations = (to: Optimizations) => (a: SyntheticAdapterState) => {
  a.optimizations = move('network optimizations', OPTIMIZATION_MOVES, a.optimizations, to);
};
export const startDisableOptimizations = optimizations('disabling');
export const finishDisableOptimizations = optimizations('disabled');
export const enableOptimizations = optimizations('enabled');

/** Claim 16: without these the switch would think that no VF exists, and free it or allocate a second one. */
export function markAssigned(a: SyntheticAdapterState, configuredIovWeight: number): void {
  a.vfAssigned = true;
  a.vfIdAllocated = true;
  a.iovWeight = configuredIovWeight;
}
export function markUnassigned(a: SyntheticAdapterState): void {
  a.vfAssigned = false;
  a.vfIdAllocated = false;
  a.iovWeight = 0;
}
