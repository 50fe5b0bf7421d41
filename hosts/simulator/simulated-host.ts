import type {
  FunctionAnswer,
  FunctionCommandRequest,
  RemoteAnswer,
} from '../../contract/functions';
import type {
  MigrationOperation,
  MigrationRequest,
  ReceptionRequest,
} from '../../contract/migration';
import { issueCommand } from '../engine/commands';
import { EngineHosts, settled } from '../engine/engine-hosts';
import { refused } from '../engine/refused';
import { commandFunction, returnRemoteAnswer } from './functions/command-function';
import { meetFaults } from './functions/faults';
import type { LatencyProfile } from './latency';
import { beginMigration, beginReception } from './migration/beginnings';
import { simulatorPort } from './port';
import type { Objects } from './state';
import type { SimulatorStore } from './store';

/** The simulated hosts of one fleet directory. */
export class SimulatedHosts extends EngineHosts<Objects> {
  constructor(
    override readonly store: SimulatorStore,
    profile: LatencyProfile,
  ) {
    super(store, simulatorPort(store, profile));
  }

  override beginMigration(request: MigrationRequest): Promise<MigrationOperation> {
    return this.begin('beginMigration', request, (o) => beginMigration(this.port, o, request));
  }

  override beginReception(request: ReceptionRequest): Promise<MigrationOperation> {
    return settled(() => beginReception(this, request));
  }

  override async commandFunction(request: FunctionCommandRequest): Promise<FunctionAnswer> {
    const loseReply = await meetFaults(this.store, request);
    const answer = commandFunction(this, request);
    loseReply();
    return answer;
  }

  override returnRemoteAnswer(answer: RemoteAnswer): Promise<FunctionAnswer> {
    return settled(() => returnRemoteAnswer(this.store, answer));
  }

  /** What someone else may try on a VM: refused and recorded while its VF is held. */
  foreignCommand(
    hostId: string,
    vmId: string,
    command:
      | 'StopVm'
      | 'CheckpointVm'
      | 'MigrateVm'
      | 'SetIovWeight'
      | 'OID_NIC_SWITCH_FREE_VF'
      | 'OID_SRIOV_RESET_VF'
      | 'VPCI.Eject'
      | 'OID_NIC_SWITCH_DELETE_VPORT'
      | 'OID_RECEIVE_FILTER_MOVE_FILTER'
      | 'VPCI.UnassignDevice',
  ): Promise<void> {
    return settled(() => {
      const target = { hostId, vmId, step: 'foreign', generation: 0, by: 'operator' } as const;
      issueCommand(this, target, null, command, () => {
        throw refused(`The simulator does not carry out ${command} for others.`);
      });
    });
  }
}
