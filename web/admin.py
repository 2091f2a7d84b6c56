"""Kept answers, for looking up what a client was told."""

from django.contrib import admin

from .admin_site import FieldTextFilter, ReadOnlyAdmin
from .models import IdempotencyRecord


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(ReadOnlyAdmin):
    list_display = ("key", "owner", "method", "path", "status", "created_at")
    list_filter = ("method", ("owner", FieldTextFilter))
    list_filter_submit = True
    ordering = ("-id",)
    search_fields = ("key__exact", "owner__exact")
    search_help_text = "A key or an owner, exactly."
