import assert from 'node:assert/strict';
import { test } from 'node:test';

import { duration, languageOf, TEXTS } from '../texts.ts';

test('the language is the first that is known', () => {
  assert.equal(languageOf(['fr', 'ja-JP', 'en']), 'ja');
  assert.equal(languageOf(['en-US', 'ja']), 'en');
  assert.equal(languageOf(['fr']), 'en');
});

test('a span of time is told in the unit that matters', () => {
  const spans = [-5, 59_999, 60_000, 3_599_999, 3_600_000, 3_660_000];
  assert.deepEqual(
    spans.map(span => duration(TEXTS.en, span)),
    ['0 s', '59 s', '1 min', '59 min', '1 h', '1 h 1 min']
  );
  assert.equal(duration(TEXTS.ja, 90_000), '1 分');
});
