import assert from 'node:assert/strict';
import { test } from 'node:test';

import { stuckAt } from '../streak.ts';
import { run } from './fakes.ts';

const failed = (cellId: string, errorMessage: string): ReturnType<typeof run> =>
  run({ cellId, errorMessage, hasError: true });

test('is stuck at the cell with the most errors in a row, and its latest error', () => {
  const latestFirst = [
    failed('b', 'B1'),
    failed('a', 'A3'),
    failed('a', 'A2'),
    run({ cellId: 'c' }),
    failed('c', 'C4'),
    failed('c', 'C3'),
    failed('c', 'C2'),
    failed('a', 'A1')
  ];
  assert.equal(stuckAt(latestFirst), 'A3');
});

test('is stuck at nothing without an error', () => {
  assert.equal(stuckAt([]), null);
  assert.equal(stuckAt([run({ cellId: 'a' }), failed('a', 'A1')]), null);
});
