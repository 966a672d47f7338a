import { ExecutionTimer, recordedDuration, type IKernelMessage } from '../timing';

const message = (
  msg_type: string,
  milliseconds: number,
  parent: string | null,
  fields: Partial<IKernelMessage> & { id?: string } = {}
): IKernelMessage => ({
  header: {
    msg_id: fields.id ?? `${msg_type}-${milliseconds}`,
    msg_type,
    date: new Date(1_700_000_000_000 + milliseconds).toISOString()
  },
  parent_header: parent === null ? {} : { msg_id: parent },
  metadata: fields.metadata ?? {},
  content: fields.content ?? {}
});
const request = (id: string, cellId: unknown) =>
  message('execute_request', 0, null, { id, metadata: { cellId } });
const busy = (milliseconds: number, parent: string) =>
  message('status', milliseconds, parent, { content: { execution_state: 'busy' } });

describe('ExecutionTimer', () => {
  it('counts from busy to the reply and leaves out the time in the queue', () => {
    const timer = new ExecutionTimer();
    timer.observe('send', request('a', 'cell-a'));
    timer.observe('send', request('b', 'cell-b'));
    timer.observe('recv', busy(100, 'a'));
    timer.observe('recv', message('execute_input', 130, 'a'));
    timer.observe('recv', message('execute_reply', 350, 'a'));
    timer.observe('recv', busy(400, 'b'));
    timer.observe('recv', message('execute_reply', 401, 'b'));
    expect(timer.take('cell-a')).toBe(250);
    expect(timer.take('cell-a')).toBeUndefined();
    expect(timer.take('cell-b')).toBe(1);
  });

  it('knows nothing of what it did not see', () => {
    const timer = new ExecutionTimer();
    timer.observe('send', request('a', undefined));
    timer.observe('send', message('kernel_info_request', 0, null));
    timer.observe('recv', busy(1, 'other'));
    timer.observe('recv', message('status', 1, null));
    timer.observe('send', request('b', 'cell-b'));
    timer.observe('recv', message('execute_reply', 5, 'b'));
    expect(timer.take('cell-b')).toBeUndefined();
  });

  it('forgets requests that are never answered', () => {
    const timer = new ExecutionTimer();
    for (let i = 0; i <= 1000; i++) {
      timer.observe('send', request(`r${i}`, `c${i}`));
    }
    timer.observe('recv', busy(1, 'r0'));
    timer.observe('recv', message('execute_reply', 2, 'r0'));
    timer.observe('recv', busy(1, 'r1000'));
    timer.observe('recv', message('execute_reply', 2, 'r1000'));
    expect(timer.take('c0')).toBeUndefined();
    expect(timer.take('c1000')).toBe(1);
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
