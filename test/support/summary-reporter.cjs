'use strict';
const { relative } = require('node:path');

const SHOWN = 10;

/** The end of a test run, for people and CI alike: the slowest files, the time beside its budget, and the counts. */
module.exports = class SummaryReporter {
  #root;

  constructor({ rootDir }) {
    this.#root = rootDir;
  }

  onRunComplete(_, results) {
    const { numPassedTests, numPendingTests, runExecError } = results;
    // A file that does not load, and a run that left something behind, have failed too.
    const failed =
      results.numFailedTests + results.numRuntimeErrorTestSuites + (runExecError ? 1 : 0);
    const lines = [
      '',
      'Slowest files, s:',
      ...this.#slowest(results.testResults),
      timeAndBudget(Date.now() - results.startTime),
      `${numPassedTests} passed, ${failed} failed` +
        (numPendingTests === 0 ? '' : `, ${numPendingTests} skipped`),
    ];
    const print = () => process.stdout.write(`${lines.join('\n')}\n`);
    // At exit, since Jest's own summary comes after its reporters; but after an error of the run nothing is written then.
    if (runExecError) print();
    else process.once('exit', print);
  }

  #slowest(files) {
    return files
      .map(({ testFilePath, perfStats }) => ({ testFilePath, ms: perfStats.runtime }))
      .sort((a, b) => b.ms - a.ms)
      .slice(0, SHOWN)
      .map(({ testFilePath, ms }) => {
        const seconds = (ms / 1000).toFixed(1).padStart(6);
        return `${seconds}  ${relative(this.#root, testFilePath)}`;
      });
  }
};

/** `took 4 min 12 s; the budget is 8 min 0 s`. The budget stands beside the command, in package.json. */
function timeAndBudget(ms) {
  const budget = process.env['HOLDFAST_TEST_BUDGET_S'];
  return `Took ${inWords(ms / 1000)}${budget === undefined ? '' : `; the budget on 2 cores is ${inWords(Number(budget))}`}.`;
}

const inWords = (seconds) => `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
