"""The login page: whole without a script, in Japanese or English."""

import re
from dataclasses import dataclass
from html import escape
from typing import Literal

Language = Literal["ja", "en"]


@dataclass(frozen=True)
class Problem:
    """Why a login was refused, and whose; ``retry_after`` is in seconds, 0 for a wrong password."""

    name: str
    retry_after: int = 0


_TEXTS: dict[Language, dict[str, str]] = {
    "ja": {
        "title": "ログイン",
        "subtitle": "講師用画面",
        "name": "名前",
        "password": "パスワード",
        "submit": "ログイン",
        "wrong": "名前またはパスワードが違います。",
        "later": "ログインの試行が多すぎます。{} 秒後にもう一度お試しください。",
        "other": '<a href="?lang=en" lang="en" hreflang="en">English</a>',
    },
    "en": {
        "title": "Log in",
        "subtitle": "Instructor's screen",
        "name": "Name",
        "password": "Password",
        "submit": "Log in",
        "wrong": "The name or the password is wrong.",
        "later": "Too many attempts. Try again in {} seconds.",
        "other": '<a href="?lang=ja" lang="ja" hreflang="ja">日本語</a>',
    },
}

_PAGE = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · Cell Monitor</title>
<link rel="icon" href="/dashboard/assets/icon.svg">
<link rel="stylesheet" href="/dashboard/assets/style.css">
<script src="/dashboard/assets/theme.js"></script>
</head>
<body class="login">
<main>
<form method="post" action="/dashboard/login">
<h1>Cell Monitor</h1>
<p>{subtitle}</p>
{problem}
<label>{name}<input name="name" value="{value}" autocomplete="username" autocapitalize="none" spellcheck="false"
 required{focus_name}></label>
<label>{password}<input name="password" type="password" autocomplete="current-password"
 required{focus_password}></label>
<button type="submit" class="primary">{submit}</button>
</form>
<p>{other}</p>
</main>
</body>
</html>
"""


def language_of(asked: str | None, remembered: str | None, accepted: str | None) -> Language:
    """Returns the language to show.

    Args:
        asked: what the page's address asks for.
        remembered: what was chosen before.
        accepted: the Accept-Language header.
    """
    tags = re.findall(r"(?:^|,)\s*([a-z]+)", (accepted or "").lower())
    known: dict[str | None, Language] = {"ja": "ja", "en": "en"}
    return next((known[choice] for choice in (asked, remembered, *tags) if choice in known), "en")


def login_page(language: Language, problem: Problem | None = None) -> str:
    """Returns the page as HTML, with why the last login was refused."""
    texts = _TEXTS[language]
    sentence = ""
    if problem is not None:
        sentence = texts["later"].format(problem.retry_after) if problem.retry_after else texts["wrong"]
    return _PAGE.format(
        **texts,
        language=language,
        problem=f'<p role="alert" class="problem">{escape(sentence)}</p>' if sentence else "",
        value=escape(problem.name if problem else "", quote=True),
        focus_name="" if problem else " autofocus",
        focus_password=" autofocus" if problem else "",
    )
