import type { Dialog } from '@jupyterlab/apputils';

import { hubIdentity, Introduction, isComplete } from '../identity';
import type { IIdentity } from '../settings';

interface IOpen {
  fields: HTMLInputElement[];
  hints: () => (string | null)[];
  accept: () => void;
  dismiss: () => void;
}

const open: IOpen[] = [];
let hubUser = '';

jest.mock('@jupyterlab/apputils', () => ({
  Dialog: class {
    static cancelButton(): object {
      return { accept: false };
    }
    static okButton(): object {
      return { accept: true };
    }
    constructor(private readonly _options: { body: Dialog.IBodyWidget<IIdentity> }) {}
    launch(): Promise<unknown> {
      return new Promise(resolve => {
        const { body } = this._options;
        const end = (accept: boolean) => () => {
          open.splice(0);
          resolve({ button: { accept }, value: accept ? body.getValue!() : null });
        };
        this.reject = end(false);
        open.push({
          fields: [...body.node.querySelectorAll('input')],
          hints: () => [...body.node.querySelectorAll('small')].map(hint => hint.textContent),
          accept: end(true),
          dismiss: end(false)
        });
      });
    }
    reject: () => void = () => undefined;
  }
}));
jest.mock('@jupyterlab/coreutils', () => ({ PageConfig: { getOption: () => hubUser } }));

// Lumino's needs a `DragEvent`, which jsdom has not.
jest.mock('@lumino/widgets', () => ({
  Widget: class {
    readonly node = document.createElement('div');
    addClass(): void {
      return;
    }
  }
}));

const trans = { __: (text: string) => text } as never;
const NOBODY = { emailAddress: '', userName: '' };

function type(field: HTMLInputElement, text: string): void {
  field.value = text;
  field.dispatchEvent(new Event('input'));
}

function fill(name: string, address: string): void {
  type(open[0]!.fields[0]!, name);
  type(open[0]!.fields[1]!, address);
}

async function settle(): Promise<void> {
  await new Promise(resolve => setTimeout(resolve));
}

beforeEach(() => open.splice(0));

describe('the question who the student is', () => {
  const saved: IIdentity[] = [];
  const introduction = new Introduction(trans, answer => {
    saved.push(answer);
    return answer.userName === '保存失敗' ? Promise.reject(new Error('away')) : Promise.resolve();
  });

  beforeEach(() => saved.splice(0));

  it('says what is wrong while it is answered', async () => {
    const asked = introduction.ask(NOBODY);
    const [name, address] = open[0]!.fields;
    expect(open[0]!.hints()).toEqual(['', '']);
    type(name!, ' \u3000');
    type(address!, 'taro');
    expect(open[0]!.hints()).toEqual([
      'Please give your name.',
      'Please give an e-mail address such as taro@example.com.'
    ]);
    expect(address!.getAttribute('aria-invalid')).toBe('true');
    expect(address!.getAttribute('aria-describedby')).toBe('cm-IdentityForm-email');
    fill(' 太郎 ', 'taro@example.com');
    expect(open[0]!.hints()).toEqual(['', '']);
    expect(address!.getAttribute('aria-invalid')).toBe('false');
    open[0]!.accept();
    await expect(asked).resolves.toBe(true);
    expect(saved).toEqual([{ userName: '太郎', emailAddress: 'taro@example.com' }]);
  });

  it('takes an address in wide letters for what it is', async () => {
    const asked = introduction.ask(NOBODY);
    fill('太郎', 'ｔａｒｏ＠ｅｘａｍｐｌｅ．ｃｏｍ　');
    expect(open[0]!.hints()).toEqual(['', '']);
    open[0]!.accept();
    await asked;
    expect(saved[0]!.emailAddress).toBe('taro@example.com');
  });

  it('comes again with the answer that is not complete, and says what is missing', async () => {
    const asked = introduction.ask({ ...NOBODY, userName: '太郎' });
    open[0]!.accept();
    await settle();
    expect(open[0]!.fields[0]!.value).toBe('太郎');
    expect(open[0]!.hints()[1]).toContain('taro@example.com');
    open[0]!.dismiss();
    await expect(asked).resolves.toBe(true);
    expect(saved).toEqual([]);
  });

  it('is asked once at a time', async () => {
    const both = [introduction.ask(NOBODY), introduction.ask(NOBODY)];
    expect(open).toHaveLength(1);
    open[0]!.dismiss();
    await Promise.all(both);
    expect(open).toHaveLength(0);
  });

  it('is taken back when the answer is known from elsewhere', async () => {
    const asked = introduction.ask(NOBODY);
    introduction.withdraw();
    await expect(asked).resolves.toBe(true);
    expect(open).toHaveLength(0);
    expect(saved).toEqual([]);
  });

  it('is not settled when the answer cannot be kept', async () => {
    const asked = introduction.ask(NOBODY);
    fill('保存失敗', 'taro@example.com');
    open[0]!.accept();
    await expect(asked).resolves.toBe(false);
  });
});

describe('an answer', () => {
  it.each([
    ['太郎', 'taro@example.com', true],
    ['', 'taro@example.com', false],
    ['太郎', '', false],
    ['太郎', 'taro', false],
    ['太郎', 'taro @example.com', false],
    ['太郎', 'a@b@c', false]
  ])('of %j and %j is complete: %j', (userName, emailAddress, complete) => {
    expect(isComplete({ userName, emailAddress })).toBe(complete);
  });
});

describe("the hub's user", () => {
  const user = (identity: object | null, ready = Promise.resolve()) =>
    ({ identity, ready }) as never;

  it('is nobody without a hub, whatever the Jupyter server makes up', async () => {
    hubUser = '';
    await expect(hubIdentity(user({ username: '5f3c', name: 'Anonymous Io' }))).resolves.toBeNull();
  });

  it('is who the server says', async () => {
    hubUser = 'taro';
    await expect(hubIdentity(user({ username: 'taro', display_name: '太郎' }))).resolves.toEqual({
      emailAddress: 'taro',
      userName: '太郎'
    });
    await expect(hubIdentity(user({ username: 'taro' }))).resolves.toMatchObject({
      userName: 'taro'
    });
    await expect(hubIdentity(user(null))).resolves.toBeNull();
  });
});
