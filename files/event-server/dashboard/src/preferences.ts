import type { Language } from './texts.ts';
import { languageOf } from './texts.ts';

export type Theme = 'auto' | 'light' | 'dark';

/** What an instructor has chosen, kept by the browser where it lets a page do so. */
export const preferences = {
  get language(): Language {
    // A cookie, because the login page works without a script.
    const kept = /(?:^|; )lang=(ja|en)(?:;|$)/.exec(document.cookie)?.[1];
    return languageOf(kept ? [kept] : navigator.languages);
  },
  set language(language: Language) {
    document.cookie = `lang=${language}; Path=/dashboard; Max-Age=31536000; SameSite=Strict`;
  },
  get theme(): Theme {
    const kept = read('theme');
    return kept === 'light' || kept === 'dark' ? kept : 'auto';
  },
  set theme(theme: Theme) {
    keep('theme', theme);
    if (theme === 'auto') {
      delete document.documentElement.dataset['theme'];
    } else {
      document.documentElement.dataset['theme'] = theme;
    }
  },
  get sound(): boolean {
    return read('sound') === 'on';
  },
  set sound(on: boolean) {
    keep('sound', on ? 'on' : 'off');
  }
};

function read(name: string): string | null {
  try {
    return localStorage.getItem(`dashboard.${name}`);
  } catch {
    return null;
  }
}

function keep(name: string, value: string): void {
  try {
    localStorage.setItem(`dashboard.${name}`, value);
  } catch {
    // A browser that keeps nothing: it lasts as long as the page.
  }
}
