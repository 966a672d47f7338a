import { recordedDuration, Stopwatch } from '../timing';

describe('Stopwatch', () => {
  let time = 0;
  const watch = () => new Stopwatch(() => time);

  it("goes by the kernel's clock", () => {
    const stopwatch = watch();
    stopwatch.start('2026-11-23T01:00:00.100000Z');
    stopwatch.start('2026-11-23T01:00:00.200000Z');
    stopwatch.stop('2026-11-23T01:00:01.350000Z');
    expect(stopwatch.elapsedMs).toBe(1250);
  });

  it.each([
    [undefined, undefined],
    ['never', '2026-11-23T01:00:00Z'],
    ['2026-11-23T01:00:01Z', '2026-11-23T01:00:00Z']
  ])("goes by the browser's clock where the kernel says %j and %j", (started, ended) => {
    const stopwatch = watch();
    time = 1000;
    stopwatch.start(started);
    time = 1500.4;
    expect(stopwatch.elapsedMs).toBe(500);
    stopwatch.stop(ended);
    time = 9000;
    expect(stopwatch.elapsedMs).toBe(500);
  });

  it('that was never started shows nothing', () => {
    const stopwatch = watch();
    expect(stopwatch.hasStarted).toBe(false);
    stopwatch.stop('2026-11-23T01:00:00Z');
    expect(stopwatch.elapsedMs).toBe(0);
  });
});

describe('recordedDuration', () => {
  it('reads the times that JupyterLab notes', () => {
    const execution = {
      'iopub.execute_input': '2026-11-23T01:00:00.200Z',
      'shell.execute_reply.started': '2026-11-23T01:00:00.000Z',
      'shell.execute_reply': '2026-11-23T01:00:01.500Z'
    };
    expect(recordedDuration(execution)).toBe(1500);
    expect(
      recordedDuration({
        'iopub.execute_input': '2026-11-23T01:00:00.200Z',
        'iopub.status.idle': '2026-11-23T01:00:01.200Z'
      })
    ).toBe(1000);
  });

  it.each([undefined, null, 'x', {}, { 'shell.execute_reply': '2026-11-23T01:00:00Z' }])(
    'of %j is unknown',
    execution => {
      expect(recordedDuration(execution)).toBeUndefined();
    }
  );
});
