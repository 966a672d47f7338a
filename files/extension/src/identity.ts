import { Dialog } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import type { User } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';

import { IdentityForm } from './identityform';
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

/**
 * Asks the student for name and address until they are complete.
 *
 * @param known - what is in the fields at first.
 * @param settled - withdraws the question, because it is known who the student is.
 * @returns null when the student does not say.
 */
async function askIdentity(
  trans: TranslationBundle,
  known: IIdentity,
  settled: AbortSignal
): Promise<IIdentity | null> {
  let answer = known;
  for (let again = false; !settled.aborted; again = true) {
    const body = new IdentityForm(trans, answer);
    if (again) {
      body.complain();
    }
    const dialog = new Dialog<IIdentity>({
      title: trans.__('Cell Monitor'),
      body,
      buttons: [
        Dialog.cancelButton({ label: trans.__('Not now') }),
        Dialog.okButton({ label: trans.__('Save') })
      ],
      focusNodeSelector: 'input'
    });
    const withdraw = (): void => dialog.reject();
    settled.addEventListener('abort', withdraw);
    const result = await dialog.launch();
    settled.removeEventListener('abort', withdraw);
    if (!result.button.accept || result.value === null) {
      return null;
    }
    answer = result.value;
    if (isComplete(answer)) {
      return answer;
    }
  }
  return null;
}

/** The question to a student who they are: one at a time, withdrawn when the answer is found elsewhere. */
export class Introduction {
  /**
   * @param _save - keeps an answer.
   */
  constructor(
    private readonly _trans: TranslationBundle,
    private readonly _save: (answer: IIdentity) => Promise<void>
  ) {}

  /**
   * Asks, unless the question is open already.
   *
   * @param known - what is in the fields at first.
   * @returns whether that is settled: the student answered and the answer is kept, or did not want to say.
   */
  ask(known: IIdentity): Promise<boolean> {
    this._open ??= this._ask(known)
      .catch(() => false)
      .finally(() => {
        this._open = null;
      });
    return this._open;
  }

  /** Takes the question back. */
  withdraw(): void {
    this._withdrawn.abort();
  }

  private async _ask(known: IIdentity): Promise<boolean> {
    this._withdrawn = new AbortController();
    const answer = await askIdentity(this._trans, known, this._withdrawn.signal);
    if (answer) {
      await this._save(answer);
    }
    return true;
  }

  private _open: Promise<boolean> | null = null;
  private _withdrawn = new AbortController();
}
