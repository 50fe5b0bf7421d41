/** @type {import('jest').Config} */
module.exports = {
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  reporters: ['default', '<rootDir>/test/support/summary-reporter.js'],
  globalSetup: '<rootDir>/test/support/global-setup.ts',
  globalTeardown: '<rootDir>/test/support/global-teardown.ts',
  // The SDK's native bridge needs Node's own Uint8Array; jsdom replaces it.
  testEnvironment: 'node',
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
        module: { type: 'commonjs' },
        sourceMaps: 'inline',
      },
    ],
  },
  // One suite at a time: two cores are common in CI, and a suite that updates a large fleet beside one that measures
  // blackouts would make those fail that are right.
  maxWorkers: 1,
  // Real time, real server: a test of a fleet services several hosts, one after the other.
  testTimeout: 120_000,
};
