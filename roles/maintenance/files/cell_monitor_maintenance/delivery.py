"""The report by mail and by webhook."""

import json
import smtplib
import ssl
import urllib.request
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from typing import Any

from cell_monitor_maintenance.config import Config, MaintenanceError, secret

_SECONDS = 30


def deliver(config: Config, report: dict[str, Any], troubles: Sequence[str]) -> list[str]:
    """Sends a report where it is to go; returns the ways that it went.

    Raises:
        MaintenanceError: one of the ways failed; the others were tried.
    """
    if config.tell == "problems" and not troubles:
        return []
    ways: dict[str, Callable[[Config, str, str], None]] = {"mail": _mail} if config.mail else {}
    ways |= {"webhook": _webhook} if config.webhook else {}
    done, failed = [], []
    for name, send in ways.items():
        try:
            send(config, subject(report, troubles), body(config, report, troubles))
            done.append(name)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            failed.append(f"{name}: {error}")
    if failed:
        raise MaintenanceError(f"the report could not be sent by {'; '.join(failed)}")
    return done


def subject(report: dict[str, Any], troubles: Sequence[str]) -> str:
    """Returns a line that says whether to read on."""
    state = f"要確認 {len(troubles)} 件 / {len(troubles)} to look at" if troubles else "異常なし / all is well"
    return f"[Cell Monitor] {report['host']} {report['date']}: {state}"


def body(config: Config, report: dict[str, Any], troubles: Sequence[str]) -> str:
    """Returns the report as text."""
    lines = [*(f"- {line}" for line in troubles), ""] if troubles else []
    lines += [f"{step['name']:<10} {step['result']:<10} {step['sentence']}".rstrip() for step in report["steps"]]
    return "\n".join([*lines, "", f"{config.host}:/var/lib/cell-monitor/reports/{report['date']}.html"])


def _mail(config: Config, title: str, text: str) -> None:
    settings = dict(config.mail)
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = title, settings["sender"], ", ".join(settings["to"])
    message.set_content(text)
    context = ssl.create_default_context()
    security = settings.get("security", "starttls")
    server: smtplib.SMTP
    if security == "tls":
        server = smtplib.SMTP_SSL(settings["host"], settings["port"], timeout=_SECONDS, context=context)
    else:
        server = smtplib.SMTP(settings["host"], settings["port"], timeout=_SECONDS)
    with server:
        if security == "starttls":
            server.starttls(context=context)
        if user := settings.get("user"):
            server.login(user, secret("mail-password"))
        server.send_message(message)


def _webhook(_: Config, title: str, text: str) -> None:
    url = secret("webhook-url")
    if not url.startswith(("https://", "http://")):
        raise ValueError("its address is not https://...")
    # What Slack, Mattermost, Rocket.Chat and Teams' workflows take.
    data = json.dumps({"text": f"{title}\n{text}"}, ensure_ascii=False).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
        answer.read()
