'use strict';

// Jest loads its runner without a TypeScript loader that stays.
require('../../tools/typescript/register.cjs');
module.exports = require('./grouped-runner.ts');
