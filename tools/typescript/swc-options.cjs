'use strict';

/** How our TypeScript becomes JavaScript, under Jest and under Node alike. */
module.exports = {
  swcrc: false,
  jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
  // Lazy: a package is loaded when it is first used, so a command that only prints its help pays for no SDK.
  module: { type: 'commonjs', lazy: true },
  sourceMaps: 'inline',
};
