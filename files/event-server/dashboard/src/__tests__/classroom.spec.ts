import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { IFilter } from '../classroom.ts';
import { Classroom } from '../classroom.ts';
import type { IStudent } from '../model.ts';
import { asking, overview, student } from './fakes.ts';

const ALL: IFilter = { text: '', team: '', status: '' };

function shown(classroom: Classroom, filter: Partial<IFilter>): string[] {
  return classroom
    .teams({ ...ALL, ...filter })
    .flatMap(team => team.students.map(each => each.emailAddress));
}

test('tells who has begun to ask for help, once', () => {
  const classroom = new Classroom();
  assert.deepEqual(
    classroom.takeOverview(overview(asking('a'), student('b')), 1).map(s => s.emailAddress),
    ['a']
  );
  assert.deepEqual(classroom.takeOverview(overview(asking('a'), student('b')), 2), []);
  assert.equal(classroom.takeUpdate({ student: asking('b') }, 3)?.emailAddress, 'b');
  assert.equal(classroom.takeUpdate({ student: asking('b') }, 4), null);
  assert.equal(classroom.takeUpdate({ student: student('b') }, 5), null);
  assert.equal(classroom.takeUpdate({ student: asking('b') }, 6)?.emailAddress, 'b');
});

test('puts the longest wait first, by the server where it tells', () => {
  const classroom = new Classroom();
  classroom.takeOverview(overview(asking('late')), 5000);
  classroom.takeOverview(
    overview(asking('late'), asking('told', { helpSince: '1970-01-01T00:00:01.000Z' })),
    9000
  );
  assert.deepEqual(
    classroom.asking().map(s => [s.emailAddress, classroom.helpSince(s)]),
    [
      ['told', 1000],
      ['late', 5000]
    ]
  );
});

test('forgets the wait of who has stopped asking or has left', () => {
  const classroom = new Classroom();
  classroom.takeOverview(overview(asking('a')), 1000);
  classroom.takeOverview(overview(), 2000);
  classroom.takeOverview(overview(asking('a')), 3000);
  assert.equal(classroom.helpSince(asking('a')), 3000);
});

test('puts the longest streak of errors first, with its error until it is over', () => {
  const classroom = new Classroom();
  const stuck = (email: string, consecutiveErrorCount: number): IStudent =>
    student(email, {
      hasSignificantError: true,
      status: 'significant_error',
      consecutiveErrorCount
    });
  classroom.takeOverview(overview(stuck('a', 3), stuck('b', 5)), 0);
  classroom.takeError('a', 'KeyError: 1');
  classroom.takeUpdate({ student: stuck('a', 4) }, 0);
  assert.deepEqual(
    classroom.stuck().map(s => [s.emailAddress, classroom.errorOf(s)]),
    [
      ['b', null],
      ['a', 'KeyError: 1']
    ]
  );
  classroom.takeUpdate({ student: student('a') }, 0);
  assert.equal(classroom.errorOf(student('a')), null);
});

test('orders teams and names as people do', () => {
  const classroom = new Classroom();
  classroom.takeOverview(
    overview(
      student('4', { teamName: null }),
      student('3', { teamName: 'チーム10' }),
      student('2', { teamName: 'チーム2', userName: '生徒10' }),
      student('1', { teamName: 'チーム2', userName: '生徒9', status: 'idle' })
    ),
    0
  );
  assert.deepEqual(shown(classroom, {}), ['1', '2', '3', '4']);
  assert.deepEqual(classroom.teamNames(), ['チーム2', 'チーム10', '']);
});

test('filters by text, team and status', () => {
  const classroom = new Classroom();
  classroom.takeOverview(
    overview(
      student('taro@example.jp', { userName: '山田 太郎', teamName: 'チームA' }),
      student('hanako@example.jp', { userName: '山田 花子', teamName: 'チームB', status: 'error' })
    ),
    0
  );
  assert.deepEqual(shown(classroom, { text: 'TARO' }), ['taro@example.jp']);
  assert.deepEqual(shown(classroom, { text: '山田 チームｂ' }), ['hanako@example.jp']);
  assert.deepEqual(shown(classroom, { text: '(.*' }), []);
  assert.deepEqual(shown(classroom, { team: 'チームA' }), ['taro@example.jp']);
  assert.deepEqual(shown(classroom, { status: 'error' }), ['hanako@example.jp']);
});

test('counts live events in the last bar of the chart', () => {
  const classroom = new Classroom();
  classroom.takeOverview(overview(student('a')), 0);
  const failed = { eventType: 'cell_executed', hasError: true, student: student('a') };
  classroom.takeUpdate(failed, 0);
  classroom.takeUpdate({ event: { eventType: 'help' }, student: asking('a') }, 0);
  const { executionCount, errorCount, helpCount } = classroom.chart[0]!;
  assert.deepEqual([executionCount, errorCount, helpCount], [2, 1, 1]);
});
