/** Every export is a workflow type, under the name that the UI shows. */
export { fastSave } from './fast-save';
export { fastRestore } from './fast-restore';
export { serviceHost } from './service-host';
