"""The same for people."""

from cell_monitor_release.model import Json


def status(told: Json) -> str:
    """What runs, how it is, what is odd, and what happened last."""
    current = told["current"]
    if current is None:
        return "Nothing was deployed here yet."
    lines = [f"{current['bundle'] or 'found on the host'}, generation {current['generation']}, {current['when']}"]
    for part in told["parts"]:
        lines.append(f"  {part['name']:14} {part['release'] or '-':22} {part.get('health', '')}")
    if told["in_progress"]:
        lines.append("A {verb} to {to} by {who} goes on, or was cut off.".format(**told["in_progress"]))
    lines += [f"bad: {name}: {bad['why']}" for name, bad in told["bad"].items()]
    lines += [f"drift: {sentence}" for sentence in told["drift"]]
    return "\n".join(lines + [history_line(line) for line in told["history"]])


def history_line(line: Json) -> str:
    """One line of the history."""
    labels = [(line[end] or {}).get("bundle") or "-" for end in ("from", "to")]
    seconds = sum(line["seconds"].values())
    why = f": {line['why']}" if line["why"] else ""
    return (
        f"{line['when']} {line['who']} {line['verb']} {labels[0]} > {labels[1]} {line['result']} {seconds:.1f} s{why}"
    )


def drift(told: Json) -> str:
    """What is not as it was deployed."""
    return "\n".join(told["drift"]) or "All is as it was deployed."


def generations(told: Json) -> str:
    """What can be returned to."""
    return "\n".join(
        f"{one['generation']:>4} {one['bundle'] or '-':22} {one['when']} "
        + ("current" if one["current"] else one["obstacle"] or "possible")
        for one in told["generations"]
    )


def rolled_back(told: Json) -> str:
    """What a rollback did."""
    seconds = ", ".join(f"{name} {value:.1f} s" for name, value in told["seconds"].items()) or "nothing had to be done"
    return f"before: {told['before']}\nnow:    {told['after']}\n{seconds}"
