/** Every export is a workflow type, under the name that the UI shows. */
export { fastSave } from './fast-save';
export { fastRestore } from './fast-restore';
export { migrateVm } from './migrate-vm';
export { serviceHost } from './service-host';
export { updateFleet } from './update-fleet';
export { commandFunction } from './command-function';
// Parts of a fleet update that have a history of their own; nobody starts them by hand.
export { surveyHosts } from './fleet/survey-hosts';
export { checkHealth } from './fleet/check-health';
