import assert from 'node:assert/strict';
import { test } from 'node:test';

import { axisEnd, barsOf } from '../bars.ts';
import type { IExecution } from '../model.ts';

const NOW = Date.parse('2026-01-01T12:00:30Z');

function run(minutesAgo: number, hasError = false): IExecution {
  return {
    eventId: String(minutesAgo),
    eventTime: new Date(NOW - minutesAgo * 60_000).toISOString(),
    notebookPath: null,
    cellIndex: null,
    cellType: null,
    code: null,
    executionCount: null,
    hasError,
    errorMessage: null,
    result: null,
    executionDurationMs: null
  };
}

test('an axis ends at a good number', () => {
  assert.deepEqual([1, 2, 3, 7, 11, 480].map(axisEnd), [1, 2, 5, 10, 20, 500]);
});

test('executions fall into bars of a round width', () => {
  const bars = barsOf([run(0), run(1, true), run(29)], NOW);
  assert.equal(Date.parse(bars[1]!.time) - Date.parse(bars[0]!.time), 2 * 60_000);
  const sum = (key: 'executionCount' | 'errorCount'): number =>
    bars.reduce((total, bar) => total + bar[key], 0);
  assert.deepEqual([sum('executionCount'), sum('errorCount')], [3, 1]);
});

test('a week of them is still a few bars', () => {
  assert.ok(barsOf([run(7 * 24 * 60 - 1), run(0)], NOW).length <= 24);
});

test('none of them, and one of the future', () => {
  assert.ok(barsOf([], NOW).length > 10);
  assert.doesNotThrow(() => barsOf([run(-60)], NOW));
});
