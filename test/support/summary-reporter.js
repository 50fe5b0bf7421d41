'use strict';

/** The last line of a test run, in a form that people and CI read alike. */
module.exports = class SummaryReporter {
  onRunComplete(_, { numPassedTests, numFailedTests, numPendingTests, numRuntimeErrorTestSuites }) {
    const failed = numFailedTests + numRuntimeErrorTestSuites;
    const skipped = numPendingTests === 0 ? '' : `, ${numPendingTests} skipped`;
    // At exit, since Jest's own summary comes after its reporters.
    process.once('exit', () => {
      process.stdout.write(`${numPassedTests} passed, ${failed} failed${skipped}\n`);
    });
  }
};
