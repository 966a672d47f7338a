import type { Dialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import type { IIdentity } from './settings';

/** The fields for a student's name and address. */
export class IdentityForm extends Widget implements Dialog.IBodyWidget<IIdentity> {
  constructor(trans: TranslationBundle, known: IIdentity) {
    super();
    this.addClass('cm-IdentityForm');
    const text = document.createElement('p');
    text.textContent = trans.__(
      'Your instructor sees what you run, and when you ask for help. Who are you?'
    );
    this.node.appendChild(text);
    this._name = new Field('name', '.*\\S.*', trans.__('Name'), trans.__('Please give your name.'));
    // Not of the type `email`, which refuses the wide letters of Japanese input methods.
    this._address = new Field(
      'email',
      '\\s*[^@＠\\s]+[@＠][^@＠\\s]+\\s*',
      trans.__('E-mail address'),
      trans.__('Please give an e-mail address such as taro@example.com.')
    );
    this._address.input.inputMode = 'email';
    this._name.input.value = known.userName;
    this._address.input.value = known.emailAddress;
    this.node.append(this._name.node, this._address.node);
  }

  getValue(): IIdentity {
    return {
      emailAddress: this._address.input.value.normalize('NFKC').trim(),
      userName: this._name.input.value.trim()
    };
  }

  /** Shows what is wrong, also in fields that were not touched. */
  complain(): void {
    this._name.check();
    this._address.check();
  }

  private readonly _name: Field;
  private readonly _address: Field;
}

/** A field that must be filled in, and says what is wrong with it while it is. */
class Field {
  constructor(
    name: 'name' | 'email',
    pattern: string,
    label: string,
    private readonly _advice: string
  ) {
    this.input.className = 'jp-mod-styled';
    this.input.pattern = pattern;
    // Newer versions of JupyterLab keep the dialog's button disabled until the fields are valid.
    this.input.required = true;
    this.input.name = name;
    this.input.autocomplete = name;
    this.input.addEventListener('input', () => this.check());
    this._hint.id = `cm-IdentityForm-${name}`;
    this._hint.setAttribute('role', 'alert');
    this.input.setAttribute('aria-describedby', this._hint.id);
    const text = document.createElement('label');
    text.append(label, this.input);
    this.node.append(text, this._hint);
  }

  check(): void {
    const { valid } = this.input.validity;
    this.input.setAttribute('aria-invalid', String(!valid));
    this._hint.textContent = valid ? '' : this._advice;
  }

  readonly node = document.createElement('div');
  readonly input = document.createElement('input');
  private readonly _hint = document.createElement('small');
}
