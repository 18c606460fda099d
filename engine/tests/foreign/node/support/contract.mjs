// What the engine promises by name and number. Both suites read it from one file, so that a renamed metric is a
// change in one place.

import { readFileSync } from 'node:fs';

const contract = JSON.parse(readFileSync(new URL('../../contract.json', import.meta.url), 'utf8'));

export const METRICS = contract.metrics;
export const CLOSE_REASONS = contract.close_reasons;
export const LIMITS = contract.limits;
