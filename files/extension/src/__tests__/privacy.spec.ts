import { mask } from '../privacy';

const A36 = 'a1B2'.repeat(9);

describe('mask', () => {
  it.each([
    ['password = "hunter2"', 'password = "***"'],
    ["db_passwd='x y z'", "db_passwd='***'"],
    [
      'connect(user="taro", password="p\\"w", port=1)',
      'connect(user="taro", password="***", port=1)'
    ],
    ['API_KEY: str = r"abc"', 'API_KEY: str = r"***"'],
    [
      'key: Optional[str]\naccess_key : Optional[str] = "abc"',
      'key: Optional[str]\naccess_key : Optional[str] = "***"'
    ],
    [
      'config = {"password": "abc", \'token\': \'def\'}',
      'config = {"password": "***", \'token\': \'***\'}'
    ],
    ['os.environ["MY_SECRET_KEY"] = "abc"', 'os.environ["MY_SECRET_KEY"] = "***"'],
    ['secret = """a\nb"""\nprint(1)', 'secret = """***"""\nprint(1)'],
    ["password2 = ('abc'\n  'd')", "password2 = ('***'\n  'd')"],
    ['if password == "abc" or "x" != pwd:', 'if password == "***" or "x" != pwd:'],
    ['clientSecret="abc"; accessToken="def"', 'clientSecret="***"; accessToken="***"'],
    ['パスワード = "ひみつ"', 'パスワード = "***"'],
    ['password = "cut in the mid…', 'password = "***"'],
    ['!export API_KEY=abc && x', '!export API_KEY=*** && x'],
    ['%env OPENAI_API_KEY=abc', '%env OPENAI_API_KEY=***'],
    ['%set_env TOKEN abc', '%set_env TOKEN ***'],
    ['HOME=/root\nDB_PASSWORD=abcdef12\nLANG=C', 'HOME=/root\nDB_PASSWORD=***\nLANG=C'],
    [
      "environ({'HOME': '/root', 'API_TOKEN': 'abc'})",
      "environ({'HOME': '/root', 'API_TOKEN': '***'})"
    ],
    ['AKIAIOSFODNN7EXAMPLE', '***'],
    [`x(ghp_${A36})`, 'x(***)'],
    [`github_pat_${A36}_${A36}`, '***'],
    ['xoxb-123456789012-abcdef', '***'],
    [`[sk-${A36}, sk-proj-${A36}-x, sk-ant-api03-${A36}]`, '[***, ***, ***]'],
    [`AIza${'x'.repeat(35)}`, '***'],
    ['eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_d', '***'],
    ['a\n-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nb', 'a\n***\nb'],
    ['-----BEGIN PRIVATE KEY-----\nMII', '***'],
    ['curl -H "Authorization: Bearer abc.def"', 'curl -H "Authorization: Bearer ***"'],
    ["{'Authorization': 'Basic YWJj'}", "{'Authorization': 'Basic ***'}"],
    ['git clone https://taro:pw@example.com/x', 'git clone https://***@example.com/x'],
    [
      'create_engine("postgresql://u:p%40@db:5432/x")',
      'create_engine("postgresql://***@db:5432/x")'
    ]
  ])('hides the credential in %j', (text, masked) => {
    expect(mask(text)).toBe(masked);
    expect(mask(masked)).toBe(masked);
  });

  it.each([
    'token = tokens[0]',
    'password = input()',
    'password = input("Password: ")',
    'password=getpass.getpass("Enter your password: ")',
    'for secret in secrets:',
    'tokens = "the quick brown fox".split()',
    'if token == "NUMBER":',
    'print("token =", token, "secret =", secret)',
    'print("token: ", token, "secret: ", secret)',
    'print("password=" + password + "!")',
    'print(f"token={token}", f"{secret}")',
    "cursor.execute(\"SELECT * FROM users WHERE password='%s' AND name='%s'\" % (p, n))",
    'password = ""',
    'pad_token = "<pad>"; sep_token = "[SEP]"',
    'headers = {"Authorization": f"Bearer {token}"}',
    'headers["Proxy-Authorization"] = "Basic %s" % auth',
    'url = f"https://{user}:{password}@example.com"',
    'open("http://localhost:8000/users/@me")',
    'secret_number = random.randint(1, 10)',
    'key = "value"; keyboard = "qwerty"',
    'columns = ["name", "password", "email"]',
    '# set the password to what you like',
    'def login(user, password=None, token: str | None = None):',
    'the sk-learn package, task-abcdefghijklmnopqrstuvwxyz',
    'PASSWORD=input()',
    'x = {"token": token, "count": 3}',
    "{'token': 12, 'text': 'x'}"
  ])('leaves %j as it is', text => {
    expect(mask(text)).toBe(text);
  });

  it.each(
    [
      'a',
      'a.',
      'password',
      'password=',
      'password="',
      'password="a\\"',
      'password=\'password="',
      "password='''",
      'password: str',
      'password : ',
      '"password":',
      'export password ',
      '%env password ',
      'A_PASSWORD=\n',
      'A_PASSWORD=A',
      '-----BEGIN PRIVATE KEY-----',
      '-----BEGIN ',
      'http://',
      'http://a:',
      'http://a:b',
      'authorization: bearer ',
      'eyJaaaaaaaa-',
      'eyJaaaaaaaa.',
      'sk-ant-',
      'xoxb-',
      ' ',
      '\n',
      '"',
      '\\'
    ].map(unit => [unit])
  )('is done with 20000 times %j soon', unit => {
    const text = unit.repeat(20_000).slice(0, 20_000);
    const started = performance.now();
    mask(text);
    expect(performance.now() - started).toBeLessThan(500);
  });
});
