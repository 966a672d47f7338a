import { MAX_CODE_LENGTH } from '../outputs';
import { RunLog, type IRun } from '../runs';
import { Kernel } from './fakes';

function follow() {
  const runs: IRun[] = [];
  const log = new RunLog(run => runs.push(run));
  const kernel = new Kernel();
  kernel.anyMessage.connect((_, args) => {
    const { direction, msg } = args as { direction: 'send'; msg: never };
    log.observe(direction, msg);
  });
  return { runs, log, kernel };
}

const busy = { execution_state: 'busy' };
const idle = { execution_state: 'idle' };
const ok = { status: 'ok', execution_count: 3 };
const stdout = (text: string) => ({ name: 'stdout', text });

describe('RunLog', () => {
  it('tells what a run showed, and how long it took without its time in the queue', () => {
    const { runs, log, kernel } = follow();
    expect(log.isUsed).toBe(false);
    const request = kernel.request('r', 'c', 'print(1)\n2');
    expect(log.isUsed).toBe(true);
    request.recv('status', busy, 10);
    request.recv('execute_input', { execution_count: 3 }, 11);
    request.recv('stream', stdout('1\n'), 12);
    request.recv('execute_reply', ok, 15);
    expect(runs).toEqual([]);
    request.recv('execute_result', { data: { 'text/plain': '2' } }, 15);
    request.recv('status', idle, 15);
    request.recv('status', idle, 16);
    expect(runs).toEqual([
      {
        cellId: 'c',
        code: 'print(1)\n2',
        executionCount: 3,
        error: null,
        result: '1\n2',
        durationMs: 5000,
        unfinished: false
      }
    ]);
  });

  it('tells two runs of one cell apart', () => {
    const { runs, kernel } = follow();
    const first = kernel.request('r1', 'c', 'x = 1; x');
    const second = kernel.request('r2', 'c', 'x = 2; x');
    first.run(2, { status: 'ok', execution_count: 1 }, () => first.recv('stream', stdout('one')));
    second.run(5, { status: 'ok', execution_count: 2 }, () => second.recv('stream', stdout('two')));
    expect(runs).toMatchObject([
      { code: 'x = 1; x', executionCount: 1, result: 'one', durationMs: 2000 },
      { code: 'x = 2; x', executionCount: 2, result: 'two', durationMs: 5000 }
    ]);
  });

  it('is done when the reply comes last, too', () => {
    const { runs, kernel } = follow();
    const request = kernel.request('r', 'c');
    request.recv('status', busy);
    request.recv('status', idle, 1);
    request.recv('execute_reply', ok, 2);
    expect(runs).toMatchObject([{ durationMs: 2000 }]);
  });

  it('knows an error from the reply, and one that was only shown', () => {
    const { runs, kernel } = follow();
    kernel.request('r1', 'a').run(1, { status: 'error', ename: 'KeyboardInterrupt', evalue: '' });
    const shown = kernel.request('r2', 'b');
    shown.run(1, ok, () => shown.recv('error', { ename: 'NameError', evalue: 'x' }));
    expect(runs.map(run => run.error)).toEqual([
      { name: 'KeyboardInterrupt', value: '' },
      { name: 'NameError', value: 'x' }
    ]);
  });

  it.each(['aborted', 'abort'])('leaves out what was called off (%s)', status => {
    const { runs, log, kernel } = follow();
    kernel.request('r', 'c').run(1, { status });
    log.end(null);
    expect(runs).toEqual([]);
  });

  it('leaves out what no cell has asked for', () => {
    const { runs, log, kernel } = follow();
    kernel.request('r', undefined as never).run();
    log.observe('recv', { header: {}, parent_header: {}, metadata: {}, content: {} } as never);
    log.observe('send', { header: { msg_type: 'kernel_info_request' }, metadata: {} } as never);
    expect(log.isUsed).toBe(false);
    expect(runs).toEqual([]);
  });

  it('ends what the kernel has begun, for a reason or unfinished', () => {
    const { runs, log, kernel } = follow();
    const reason = { name: 'KernelDied', value: 'it died' };
    kernel.request('r1', 'begun').recv('status', busy);
    kernel.request('r2', 'waits');
    const answered = kernel.request('r3', 'answered');
    answered.recv('status', busy);
    answered.recv('execute_reply', ok);
    log.end(reason);
    log.end(reason);
    kernel.request('r4', 'goes on').recv('execute_input', { execution_count: 1 });
    log.end(null);
    expect(runs).toMatchObject([
      { cellId: 'begun', error: reason, unfinished: false },
      { cellId: 'answered', error: null, unfinished: false },
      { cellId: 'goes on', error: null, unfinished: true }
    ]);
  });

  it('ends what a lost connection has hidden the end of, when the kernel has done the next', () => {
    const { runs, kernel } = follow();
    const hidden = kernel.request('r1', 'hidden');
    hidden.recv('status', busy, 10);
    hidden.recv('stream', stdout('shown'), 11);
    kernel.request('r2', 'never begun');
    const next = kernel.request('r3', 'next');
    next.recv('status', busy, 15);
    next.recv('status', idle, 16);
    expect(runs).toEqual([]);
    next.recv('execute_reply', ok, 17);
    hidden.recv('execute_reply', ok, 18);
    hidden.recv('status', idle, 18);
    expect(runs).toMatchObject([
      { cellId: 'hidden', result: 'shown', error: null, durationMs: 5000, unfinished: false },
      { cellId: 'next', durationMs: 2000 }
    ]);
  });

  it('takes an output once that comes again on the next connection', () => {
    const { runs, kernel } = follow();
    const request = kernel.request('r', 'c');
    request.run(1, ok, () => {
      for (const [text, msg] of [
        ['a\n', 'm1'],
        ['b\n', 'm2'],
        ['a\n', 'm1'],
        ['b\n', 'm2'],
        ['b\n', 'm3']
      ] as const) {
        request.recv('stream', stdout(text), 0, msg);
      }
    });
    const long = kernel.request('long', 'c');
    long.run(1, ok, () => {
      for (let i = 0; i < 3000; i++) {
        long.recv('stream', stdout('x'), 0, `x${i % 2500}`);
      }
    });
    expect(runs).toMatchObject([{ result: 'a\nb\nb' }, { result: 'x'.repeat(3000) }]);
  });

  it('keeps a limited part of the code, and a limited number of runs', () => {
    const { runs, kernel } = follow();
    const [first, last] = ['x'.repeat(MAX_CODE_LENGTH + 1), 'y', 'y'].map((code, i) =>
      kernel.request(`r${i}`, 'c', code)
    );
    first!.run();
    expect(runs[0]!.code).toHaveLength(MAX_CODE_LENGTH);
    for (let i = 0; i < 5000; i++) {
      kernel.request(`s${i}`, 'c');
    }
    last!.run();
    expect(runs).toHaveLength(1);
    kernel.request('t', 'c', undefined).run();
    expect(runs).toHaveLength(2);
  });
});
