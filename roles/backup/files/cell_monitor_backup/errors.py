"""What can go wrong, each as one sentence for the administrator."""


class BackupError(Exception):
    """Something could not be done; what was there before is untouched."""

    code = 1


class OverlapError(BackupError):
    """Another run has not ended."""

    code = 75


class DamageError(BackupError):
    """What came out of a backup, or was to go into it, is not what it has to be."""

    code = 3
