/** What stands in place of a credential. */
export const MASK = '***';

const PASSWORD = 'pass(?:word|wd|phrase|code)|pwd|パスワード';
const NAME = `${PASSWORD}|secret|token|credentials?|(?:api|access|secret|private|auth|account)[_-]?key`;

// What a quoted value begins with. It leaves out what stands behind the quote where that closes a
// text, as in print("token =", token), and what is a placeholder, as in "<pad>" and f"{token}".
const FIRST = '[^\\s"\'\\\\,)+%.\\]};:&|{<\\[]';
const REST = (quote: string): string => `(?:[^${quote}\\\\\\n]|\\\\.)*`;
// A text that was cut may end within the value.
const quoted = (quote: string): string =>
  `(${quote})${FIRST}${REST(quote)}(?:${quote}|(?:…|\\\\)$)`;
const QUOTED = `(?:("""|''')[^]+?(?:\\2|…$)|${quoted('"')}|${quoted("'")})`;

/**
 * Shapes of credentials, and what to put in their place.
 *
 * Every repetition ends where the next one begins, or is bounded, so that no text takes long.
 */
const RULES: readonly (readonly [RegExp, string])[] = [
  // -----BEGIN RSA PRIVATE KEY-----
  [
    /-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----[^]*?(?:-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----|$)/g,
    MASK
  ],
  // https://user:password@host
  [/(\b[a-z][a-z0-9+.-]{1,20}:\/\/)[^\s/:@"'{}]{0,200}:[^\s/@"'{}]{1,200}@/gi, `$1${MASK}@`],
  // Authorization: Bearer abc
  [
    /(\bauthorization["']?\]?\s{0,9}[:=,]\s{0,9}[rbu]{0,2}["']?(?:bearer|basic)\s{1,9})[^\s"'{}<>,%]+/gi,
    `$1${MASK}`
  ],
  // What their makers gave a shape of its own: AWS, GitHub, GitLab, Slack, OpenAI and Anthropic,
  // Google, Hugging Face, Stripe, npm, JSON Web Tokens.
  [
    new RegExp(
      '(^|[^\\w-])(?:' +
        [
          '(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])',
          'gh[opsur]_[A-Za-z0-9]{30,}',
          'github_pat_\\w{22,}',
          'glpat-[\\w-]{20,}',
          'xox[a-z]-[\\w-]{10,}',
          'xapp-[\\w-]{10,}',
          'sk-(?:(?:proj|ant|svcacct|admin|or)-[\\w-]{16,}|[A-Za-z0-9]{20,})',
          'AIza[\\w-]{35}',
          'hf_[A-Za-z0-9]{30,}',
          '[rs]k_(?:live|test)_[A-Za-z0-9]{16,}',
          'npm_[A-Za-z0-9]{36}',
          'eyJ[\\w-]{8,}\\.eyJ[\\w-]{4,}(?:\\.[\\w-]*)?'
        ].join('|') +
        ')',
      'g'
    ),
    `$1${MASK}`
  ],
  // password = "abc", password: str = "abc", f(password="abc"), os.environ["API_KEY"] = "abc"
  [
    new RegExp(
      `((?:${NAME})\\d{0,3}["']?\\]?[^\\S\\n]{0,9}(?::[^\\S\\n]{0,9}[\\w.[\\], |]{1,40})?:?=\\s{0,9}\\(?[rbu]{0,2})${QUOTED}`,
      'gi'
    ),
    `$1$2$3$4${MASK}$2$3$4`
  ],
  // {"password": "abc"}
  [
    new RegExp(`((?:${NAME})\\d{0,3}["']\\s{0,9}:\\s{0,9}[rbu]{0,2})${QUOTED}`, 'gi'),
    `$1$2$3$4${MASK}$2$3$4`
  ],
  // password == "abc"; a token is compared to ordinary words
  [
    new RegExp(`((?:${PASSWORD})\\d{0,3}["']?\\]?\\s{0,9}[=!]=\\s{0,9}[rbu]{0,2})${QUOTED}`, 'gi'),
    `$1$2$3$4${MASK}$2$3$4`
  ],
  // export API_KEY=abc, %env API_KEY=abc, %env API_KEY abc
  [
    new RegExp(
      `((?:(?:\\bexport|\\bset) {1,9}\\w{0,60}(?:${NAME})\\d{0,3} {0,9}=|%(?:set_)?env {1,9}\\w{0,60}(?:${NAME})\\d{0,3} {0,9}[= ]) {0,9})[^\\s"'$\`;&=()]+`,
      'gi'
    ),
    `$1${MASK}`
  ],
  // API_KEY=abc, as a list of the environment has it
  [new RegExp(`^(\\w{0,60}(?:${NAME.toUpperCase()})=)[\\w./+~-]{6,}=*$`, 'gm'), `$1${MASK}`]
];

/** Puts `***` in place of whatever looks like a credential. */
export function mask(text: string): string {
  return RULES.reduce((masked, [shape, replacement]) => masked.replace(shape, replacement), text);
}
