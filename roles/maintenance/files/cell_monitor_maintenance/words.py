"""The page's words, in Japanese and English."""

import html

_WORDS = {
    "rotation": ("ログのローテーション", "Rotation of the logs"),
    "journal": ("ジャーナルの整理", "Journal"),
    "backup": ("バックアップの確認", "Backups"),
    "figures": ("指標の収集", "Collection of figures"),
    "scan": ("セキュリティスキャン", "Security scan"),
    "pruning": ("古いデータの削除", "Deletion of old data"),
    "analysis": ("指標の分析", "Analysis"),
    "ok": ("正常", "good"),
    "found": ("要確認", "look"),
    "failed": ("失敗", "failed"),
    "unchecked": ("確認できず", "not checked"),
    "overlap": ("実行中と重複", "overlapped"),
    "never": ("未実行", "never ran"),
    "lab_answer_seconds": ("JupyterLabの応答時間", "Answer time of JupyterLab"),
    "server_answer_seconds": ("イベントサーバーの応答時間", "Answer time of the event server"),
    "error_ratio": ("エラー率", "Share of errors"),
    "failed_requests": ("失敗した要求", "Failed requests"),
    "help_requests": ("ヘルプ要求", "Requests for help"),
    "invalid_requests": ("不正な要求", "Invalid requests"),
    "unanswered_ratio": ("応答がなかった割合", "Share without an answer"),
    "memory_bytes": ("メモリ(最大)", "Memory, at most"),
    "active_users": ("同時利用者(最大)", "Users at a time, at most"),
    "events": ("イベント", "Events"),
    "python": ("Pythonパッケージの脆弱性", "Vulnerable Python packages"),
    "npm": ("npmパッケージの脆弱性", "Vulnerable npm packages"),
    "debian": ("Debianのセキュリティ更新", "Debian's security updates"),
    "changed_files": ("変更されたファイル", "Changed files"),
    "writable_files": ("誰でも書き込めるファイル", "Files that all may change"),
    "ports": ("宣言されていないポート", "Undeclared ports"),
    "certificates": ("30日以内に切れる証明書", "Certificates that end within 30 days"),
    "sample": ("指標の記録", "Figures"),
    "prune": ("古いデータの削除", "Deletion of old data"),
    "backup-check": ("バックアップの検査", "Check of the backups"),
    "backup-drill": ("復元の訓練", "Trial restore"),
    "backup-copy": ("バックアップの複製", "Copy of the backups"),
    "backup-tidy": ("古いバックアップの削除", "Deletion of old backups"),
}


def both(ja: str, en: str) -> str:
    """Returns a text in both languages, of which the page shows one."""
    return f'<span lang="ja">{html.escape(ja)}</span><span lang="en">{html.escape(en)}</span>'


def word(name: str) -> str:
    """Returns a name of reports in both languages."""
    return both(*_WORDS.get(name, (name, name)))


def names(name: str) -> tuple[str, str]:
    """Returns a name of reports in Japanese and in English."""
    return _WORDS.get(name, (name, name))


def amount(value: float | None, unit: str) -> str:
    """Returns a figure with its unit, in a form that both languages share."""
    if value is None:
        return "–"
    if unit == "seconds":
        return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
    if unit == "ratio":
        return f"{value * 100:.1f} %"
    if unit == "bytes":
        return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"
    return f"{value:,.0f}"
