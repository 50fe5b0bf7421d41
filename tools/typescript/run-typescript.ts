import { repositoryPath } from '../repository-path';

/** Arguments with which Node runs a TypeScript file of ours; those of the file itself come after them. */
export const runTypeScript = (file: string): string[] => [
  '--require',
  repositoryPath('tools/typescript/register.cjs'),
  file,
];
