import assert from 'node:assert/strict';
import { test } from 'node:test';

import { axisEnd, barsOf } from '../bars.ts';
import type { IExecution } from '../model.ts';
import { run } from './fakes.ts';

const NOW = Date.parse('2026-01-01T12:00:30Z');

function ago(minutes: number, hasError = false): IExecution {
  return run({ eventTime: new Date(NOW - minutes * 60_000).toISOString(), hasError });
}

test('an axis ends at a good number', () => {
  assert.deepEqual([1, 2, 3, 7, 11, 480].map(axisEnd), [1, 2, 5, 10, 20, 500]);
});

test('executions fall into bars of a round width', () => {
  const bars = barsOf([ago(0), ago(1, true), ago(29)], NOW);
  assert.equal(Date.parse(bars[1]!.time) - Date.parse(bars[0]!.time), 2 * 60_000);
  const sum = (key: 'executionCount' | 'errorCount'): number =>
    bars.reduce((total, bar) => total + bar[key], 0);
  assert.deepEqual([sum('executionCount'), sum('errorCount')], [3, 1]);
});

test('a week of them is still a few bars', () => {
  assert.ok(barsOf([ago(7 * 24 * 60 - 1), ago(0)], NOW).length <= 24);
});

test('none of them, and one of the future', () => {
  assert.ok(barsOf([], NOW).length > 10);
  assert.doesNotThrow(() => barsOf([ago(-60)], NOW));
});
