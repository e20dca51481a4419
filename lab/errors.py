"""The lab's errors. Their text is for the person who started it."""


class LabError(Exception):
    """Something the lab needs is not there, or a practice server did not do as asked."""


class NotRunning(LabError):
    """No lab runs for this data folder."""
