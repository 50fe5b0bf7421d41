const { availableParallelism } = require('node:os');
const swcOptions = require('./tools/typescript/swc-options.cjs');

/** @type {import('jest').Config} */
module.exports = {
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  cacheDirectory: '<rootDir>/node_modules/.cache/jest',
  // Which files run at the same time: CONTRIBUTING.md, "Tests".
  runner: '<rootDir>/test/support/runner.cjs',
  maxWorkers: availableParallelism(),
  // Concurrent tests of one file. More of them would only slow each other down: two cores are busy with these.
  maxConcurrency: 3,
  reporters: ['default', '<rootDir>/test/support/summary-reporter.cjs'],
  // The SDK's native bridge needs Node's own Uint8Array; jsdom replaces it.
  testEnvironment: 'node',
  // Not lazy: while tests run concurrently Jest refuses to load a package between the end of one and the end of all.
  transform: { '^.+\\.ts$': ['@swc/jest', { ...swcOptions, module: { type: 'commonjs' } }] },
  // Real time, real server: a test of a fleet services several hosts, one after the other.
  testTimeout: 120_000,
};
