"""Time as businesses see it: instants in UTC, business days in the tenant's zone."""

from datetime import date, datetime
from zoneinfo import ZoneInfo


def business_date(at: datetime, time_zone: str) -> date:
    """The calendar day of the instant ``at`` in the tenant's IANA zone, DST included."""
    return at.astimezone(ZoneInfo(time_zone)).date()
