import { Dialog, showDialog } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import type { User } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import type { IIdentity } from './settings';

/**
 * Who the hub says the user is, null where there is no hub.
 *
 * A Jupyter server by itself makes up a name for each login, which is nobody's.
 */
export async function hubIdentity(user: User.IManager): Promise<IIdentity | null> {
  if (!PageConfig.getOption('hubUser')) {
    return null;
  }
  await user.ready;
  const identity = user.identity;
  if (!identity?.username) {
    return null;
  }
  return {
    // A hub tells users apart by their names, which need not be addresses.
    emailAddress: identity.username,
    userName: identity.display_name || identity.name || identity.username
  };
}

/** Whether an answer names somebody. */
export function isComplete({ emailAddress, userName }: IIdentity): boolean {
  return userName !== '' && /^[^@\s]+@[^@\s]+$/.test(emailAddress);
}

class IdentityForm extends Widget implements Dialog.IBodyWidget<IIdentity> {
  constructor(trans: TranslationBundle, known: IIdentity, hint: string) {
    super();
    this.addClass('cm-IdentityForm');
    const text = document.createElement('p');
    text.textContent =
      hint ||
      trans.__('Your instructor sees what you run, and when you ask for help. Who are you?');
    this.node.appendChild(text);
    this._name = this._field(trans.__('Name'), 'text', 'name', known.userName);
    this._address = this._field(trans.__('E-mail address'), 'email', 'email', known.emailAddress);
  }

  getValue(): IIdentity {
    return { emailAddress: this._address.value.trim(), userName: this._name.value.trim() };
  }

  private _field(
    text: string,
    type: string,
    autocomplete: 'name' | 'email',
    value: string
  ): HTMLInputElement {
    const label = document.createElement('label');
    const input = document.createElement('input');
    input.className = 'jp-mod-styled';
    input.type = type;
    // Newer versions of JupyterLab keep the dialog's button disabled until the fields are valid.
    input.required = true;
    input.name = autocomplete;
    input.autocomplete = autocomplete;
    input.value = value;
    label.append(text, input);
    this.node.appendChild(label);
    return input;
  }

  private readonly _name: HTMLInputElement;
  private readonly _address: HTMLInputElement;
}

/** Asks the student for name and address until they are complete; null when the student does not say. */
export async function askIdentity(
  trans: TranslationBundle,
  known: IIdentity
): Promise<IIdentity | null> {
  let hint = '';
  let answer = known;
  for (;;) {
    const result = await showDialog<IIdentity>({
      title: trans.__('Cell Monitor'),
      body: new IdentityForm(trans, answer, hint),
      buttons: [
        Dialog.cancelButton({ label: trans.__('Not now') }),
        Dialog.okButton({ label: trans.__('Save') })
      ],
      focusNodeSelector: 'input'
    });
    if (!result.button.accept || result.value === null) {
      return null;
    }
    answer = result.value;
    if (isComplete(answer)) {
      return answer;
    }
    hint = trans.__('Please give your name and an e-mail address such as taro@example.com.');
  }
}
