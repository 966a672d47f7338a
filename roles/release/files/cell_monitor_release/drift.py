"""What on the host is not as the last deploy or rollback left it."""

from cell_monitor_release import files, releases, switch, systemd
from cell_monitor_release.model import Generation, Part


def differences(generation: Generation, *, thorough: bool = False) -> list[str]:
    """Returns one sentence for each difference.

    Args:
        generation: what the host is to run.
        thorough: whether to read every file of the releases.
    """
    told = [sentence for part in generation.parts for sentence in _part(part, thorough=thorough)]
    for path, kept in generation.files.items():
        there = files.look(path)
        if kept is None and there:
            told.append(f"{path} is there, and does not belong to the release.")
        elif kept and there is None:
            told.append(f"{path} is missing.")
        elif kept and there and kept.sha256 != there[0].sha256:
            told.append(f"{path} was changed.")
        elif kept and there and not kept.same(there[0]):
            told.append(f"{path} has other permissions or another owner.")
    return told


def _part(part: Part, *, thorough: bool) -> list[str]:
    told = []
    if part.link and (pointed := files.pointed(part.link)) != part.release:
        told.append(f"{part.link} names {pointed}, not {part.release}.")
    if part.path and (damage := releases.damage(part.path, thorough=thorough)):
        told.append(f"{damage}.")
    if part.unit and not told and switch.need(part) is not switch.Need.NOTHING:
        service = systemd.show(part.unit)
        told.append(f"{part.unit} is {service.state}, or runs with other files than those that are there.")
    return told
