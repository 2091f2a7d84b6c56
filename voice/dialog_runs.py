"""Runs whose caller is gone and whose voice process could not say so."""

from tasks import dialogs
from voice.models import PhoneCall
from voice.selectors import OPEN


def end_abandoned() -> int:
    """Cancel the runs that wait for a caller whose call is over; return how many. Safe in several processes."""
    waiting = dialogs.callers_awaited()
    if not waiting:
        return 0
    led = set(PhoneCall.objects.filter(run_id__in=waiting, state__in=OPEN).values_list("run_id", flat=True))
    abandoned = [run_id for run_id in waiting if run_id not in led]
    for run_id in abandoned:
        dialogs.leave(run_id=run_id, reason="caller_left: the call was lost")
    return len(abandoned)
