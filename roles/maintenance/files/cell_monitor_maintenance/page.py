"""A day's report as a page: one file, without scripts, for a phone as well."""

import html
import time
from collections.abc import Iterable, Sequence
from typing import Any

from cell_monitor_maintenance.chart import chart
from cell_monitor_maintenance.words import amount, both, names, word

Json = dict[str, Any]

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2733;--dim:#5b6773;--page:#f3f5f7;--card:#fff;--line:#dde3e8;--accent:#0b6bcb;
--ok:#1a7f4b;--found:#a15c00;--failed:#c0262d;--unchecked:#6b5aa8}
@media(prefers-color-scheme:dark){:root{--ink:#e6ebf0;--dim:#9aa7b4;--page:#12181e;--card:#1b232b;--line:#2d3843;
--accent:#6cb4ff;--ok:#58c98b;--found:#f0b34d;--failed:#ff7b80;--unchecked:#b5a6f2}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.6 system-ui,
"Hiragino Sans","Noto Sans CJK JP","Noto Sans JP",sans-serif}
#en:checked~* [lang=ja],#ja:checked~* [lang=en]{display:none}
.choice{position:absolute;opacity:0}
header,main,footer{max-width:60rem;margin:0 auto;padding:0 1rem}
header{padding-top:1.2rem}
.top{display:flex;justify-content:space-between;align-items:baseline;gap:1rem;color:var(--dim)}
.top label{cursor:pointer;padding:.2rem .5rem;border-radius:.4rem;color:var(--accent)}
#ja:checked~header label[for=ja],#en:checked~header label[for=en]{color:var(--ink);font-weight:600}
.choice:focus-visible~header .languages{outline:2px solid var(--accent);border-radius:.4rem}
h1{font-size:1.6rem;line-height:1.3;margin:.4rem 0}
h2{font-size:1.05rem;margin:0 0 .6rem}
section,.verdict{background:var(--card);border:1px solid var(--line);border-radius:.8rem;
padding:1rem 1.1rem;margin:1rem 0}
.verdict{border-left:.5rem solid var(--ok)}
.verdict.look{border-left-color:var(--found)}
.verdict.bad{border-left-color:var(--failed)}
.verdict strong{font-size:1.15rem}
ul{list-style:none;margin:.4rem 0 0;padding:0}
li{overflow-wrap:anywhere}
.rows li{display:grid;grid-template-columns:8.5rem 1fr;gap:0 .8rem;padding:.4rem 0;border-top:1px solid var(--line)}
.rows li:first-child{border-top:0}
.rows .said{grid-column:2;color:var(--dim);font-size:.88rem;overflow-wrap:anywhere}
.rows .said:empty{display:none}
.mark{font-size:.9rem;font-weight:600;white-space:nowrap}
.mark::before{content:"";display:inline-block;width:.65em;height:.65em;border-radius:50%;background:currentColor;margin-right:.45em}
.ok{color:var(--ok)}.found,.overlap{color:var(--found)}.failed{color:var(--failed)}.unchecked,.never{color:var(--unchecked)}
.charts{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr))}
figure{margin:0}
figcaption{font-size:.92rem;color:var(--dim)}
.chart{width:100%;height:auto;display:block}
.chart text{font-size:10px;fill:var(--dim)}
.grid{stroke:var(--line)}
.line{fill:none;stroke:var(--accent);stroke-width:1.6;stroke-linejoin:round}
.area{fill:var(--accent);opacity:.14}
table{border-collapse:collapse;width:100%;font-size:.95rem}
th{font-weight:400;text-align:left}
thead th{color:var(--dim);font-size:.85rem}
td,thead th:not(:first-child){text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td,th{padding:.35rem .2rem;border-bottom:1px solid var(--line)}
tbody tr:last-child>*{border-bottom:0}
tr.high{color:var(--found);font-weight:600}
meter{width:100%;height:1.1rem}
details{margin-top:.2rem}
summary{cursor:pointer;color:var(--accent)}
details li{padding:.15rem 0;font-size:.88rem}
nav{display:flex;flex-wrap:wrap;gap:.2rem 1rem}
a{color:var(--accent)}
footer{color:var(--dim);font-size:.85rem;padding-bottom:2rem}
@media(max-width:30rem){.rows li{grid-template-columns:1fr}.rows .said{grid-column:1}}
"""

_CHARTS = (("active_users", "count"), ("events", "count"), ("answer_seconds", "seconds"), ("memory_bytes", "bytes"))
_CHART_NAMES = {
    "active_users": ("利用者", "Users"),
    "events": ("5分ごとのイベント", "Events in 5 minutes"),
    "answer_seconds": ("JupyterLabの応答時間", "Answer time of JupyterLab"),
    "memory_bytes": ("サーバーのメモリ", "Memory of the servers"),
}


def page(report: Json, others: Sequence[str]) -> str:
    """Returns the page of a report.

    Args:
        report: as in its JSON file.
        others: days with a page of their own, to be linked.
    """
    sections = [_verdict(report), _steps(report), _charts(report), _figures(report), _disks(report), _scan(report)]
    sections += [_jobs(report), _others(others)]
    title = f"{report['host']} {report['date']}"
    return (
        '<!DOCTYPE html>\n<html lang="ja"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)} – Cell Monitor</title><style>{_STYLE}</style></head><body>"
        '<input class="choice" type="radio" name="language" id="ja" aria-label="日本語" checked>'
        '<input class="choice" type="radio" name="language" id="en" aria-label="English">'
        f'<header><div class="top"><span>Cell Monitor · {html.escape(report["host"])}</span>'
        '<span class="languages"><label for="ja">日本語</label><label for="en">English</label></span></div>'
        f"<h1>{both('日次点検', 'Daily round')} <time>{report['date']}</time></h1></header>"
        f"<main>{''.join(sections)}</main><footer>{_footer(report)}</footer></body></html>\n"
    )


def _verdict(report: Json) -> str:
    failed = [step for step in report["steps"] if step["result"] == "failed"]
    checks = [check for check in _checks(report) if check["result"] == "found"]
    lines = [both(*(f"{name}: {step['sentence']}" for name in names(step["name"]))) for step in failed]
    lines += [_change(change) for change in report["changes"]]
    lines += [_tight(disk) for disk in report.get("disks", ()) if disk["tight"]]
    lines += [both(*(f"{name}: {check['count']}" for name in names(check["name"]))) for check in checks]
    if report["ended"] is None:
        lines.insert(0, both("点検はまだ終わっていないか、途中で止まりました。", "The round goes on, or was cut off."))
    look = "bad" if failed else "look" if lines else ""
    said = both("見ていただきたい点があります", "Please look at this") if lines else both("異常なし", "All is well")
    return f'<div class="verdict {look}"><strong>{said}</strong>{_list(lines)}</div>'


def _change(change: Json) -> str:
    value, usual = (amount(change[key], change["unit"]) for key in ("value", "usual"))
    times = f"{change['factor']:.1f}" if change["factor"] and change["factor"] < 100 else None
    ja, en = names(change["name"])
    return both(
        f"{ja}: {value}。過去{change['window']}日間の通常は{usual}" + (f"（{times}倍）" if times else ""),
        f"{en}: {value}; in the last {change['window']} days it was usually {usual}"
        + (f" ({times} times)" if times else ""),
    )


def _tight(disk: Json) -> str:
    path, left = disk["path"], disk["days_left"]
    if left is None:
        return both(f"ディスク {path} の空きが残りわずかです", f"The disk of {path} is nearly full")
    return both(
        f"ディスク {path} はあと約{left:.0f}日で満杯になります", f"The disk of {path} is full in about {left:.0f} days"
    )


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>" if lines else ""


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>" if content else ""


def _row(result: str, name: str, said: str, more: str = "") -> str:
    mark = f'<span class="mark {result}">{word(result)}</span>'
    return f'<li>{mark}<span>{name}</span><span class="said">{html.escape(said)}{more}</span></li>'


def _rows(rows: Iterable[str]) -> str:
    found = "".join(rows)
    return f'<ul class="rows">{found}</ul>' if found else ""


def _steps(report: Json) -> str:
    rows = (_row(step["result"], word(step["name"]), step["sentence"]) for step in report["steps"])
    return _section(both("点検の内容", "Steps"), _rows(rows))


def _charts(report: Json) -> str:
    series = report.get("series", {})
    figures = [
        f"<figure><figcaption>{both(*_CHART_NAMES[name])}</figcaption>"
        f"{chart(series[name], unit, html.escape(' / '.join(_CHART_NAMES[name])))}</figure>"
        for name, unit in _CHARTS
        if series.get(name)
    ]
    return _section(both("この日の様子", "The day"), f'<div class="charts">{"".join(figures)}</div>' if figures else "")


def _figures(report: Json) -> str:
    high = {change["name"] for change in report["changes"]}
    rows = "".join(
        f"<tr{' class=high' if figure['name'] in high else ''}><th>{word(figure['name'])}</th>"
        + "".join(f"<td>{amount(figure[key], figure['unit'])}</td>" for key in ("value", "usual_7", "usual_28"))
        + "</tr>"
        for figure in report.get("figures", ())
    )
    head = (
        f"<tr><th></th><th>{both('この日', 'That day')}</th><th>{both('過去7日', 'Last 7 days')}</th>"
        f"<th>{both('過去28日', 'Last 28')}</th></tr>"
    )
    return _section(
        both("指標", "Figures"), f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>" if rows else ""
    )


def _disks(report: Json) -> str:
    shown = ""
    for disk in report.get("disks", ()):
        used, total = amount(disk["used"], "bytes"), amount(disk["total"], "bytes")
        share, left = disk["used"] / disk["total"], disk["days_left"]
        until = (
            both(f"あと約{left:.0f}日", f"full in about {left:.0f} days")
            if left is not None
            else both("増加なし", "not growing")
        )
        path = html.escape(disk["path"])
        shown += (
            f"<p>{path}: {used} / {total} · {until}<br>"
            f'<meter min="0" max="1" high="0.9" value="{share:.3f}">{share:.0%}</meter></p>'
        )
    return _section(both("ディスク", "Disks"), shown)


def _checks(report: Json) -> list[Json]:
    return list((report.get("scan") or {}).get("checks", ()))


def _scan(report: Json) -> str:
    return _section(both("セキュリティスキャン", "Security scan"), _rows(_check(check) for check in _checks(report)))


def _check(check: Json) -> str:
    more = ""
    if check["found"]:
        lines = _list([html.escape(line) for line in check["found"]])
        more = f"<details><summary>{both('一覧', 'List')}</summary>{lines}</details>"
    return _row(check["result"], word(check["name"]), check["sentence"], more)


def _jobs(report: Json) -> str:
    rows = (_row(row["result"], word(row["job"]), _when(row)) for row in report.get("jobs", ()))
    return _section(both("定期実行", "Jobs"), _rows(rows))


def _when(row: Json) -> str:
    return " · ".join(part for part in (_moment(row["last_run"]) if row["last_run"] else "", row["sentence"]) if part)


def _others(days: Sequence[str]) -> str:
    links = "".join(f'<a href="{html.escape(day)}.html">{html.escape(day)}</a>' for day in days)
    return _section(both("ほかの日", "Other days"), f"<nav>{links}</nav>" if links else "")


def _footer(report: Json) -> str:
    ended = report["ended"]
    if ended is None:
        return both(f"{_moment(report['began'])} 開始", f"begun {_moment(report['began'])}")
    begun, seconds = _moment(report["began"]), f"{ended - report['began']:.0f}"
    return both(f"{begun} 開始、所要 {seconds} 秒", f"begun {begun}, took {seconds} s")


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
