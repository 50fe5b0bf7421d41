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
  // Suites share one dev server and two cores are common in CI; more workers only queue.
  maxWorkers: 2,
  // Real time, real server: a suite that waits for a dark VM's budget takes seconds, not milliseconds.
  testTimeout: 60_000,
};
