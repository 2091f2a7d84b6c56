"""The admin's building blocks. django-unfold is imported here and nowhere else, so it can be replaced here.

It lies in the lowest app because every app's `admin.py` uses it. The trap it guards against: a list renders
each cell through templates (about 7 kB a row) and counts all rows, so no page has more than 50 rows,
counting stops at 10,000, and the tables that grow for ever are neither sorted nor searched off their indexes.
"""

import json
from collections.abc import Callable, Collection
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar

from django import forms
from django.contrib.admin.utils import unquote
from django.contrib.postgres.fields import ArrayField
from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from import_export.admin import ImportExportModelAdmin
from simple_history.admin import SimpleHistoryAdmin
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter, FieldTextFilter, RangeDateTimeFilter
from unfold.contrib.import_export.forms import ImportForm, SelectableFieldsExportForm
from unfold.datasets import BaseDataset
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import AdminPasswordChangeForm, BaseDialogForm, UserChangeForm, UserCreationForm
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from .problems import Problem

__all__ = [
    "ActionVariant",
    "AdminPasswordChangeForm",
    "ChoicesDropdownFilter",
    "ConfigurationAdmin",
    "ConfirmForm",
    "FieldTextFilter",
    "HistoryAdmin",
    "RangeDateTimeFilter",
    "ReadOnlyAdmin",
    "ReasonForm",
    "StaffAdmin",
    "UnfoldAdminCheckboxSelectMultipleWidget",
    "UnfoldAdminPasswordWidget",
    "UnfoldAdminTextInputWidget",
    "UnfoldAdminTextareaWidget",
    "UserChangeForm",
    "UserCreationForm",
    "action",
    "add_problem",
    "ago",
    "badge",
    "confirm",
    "display",
    "link",
    "link_column",
    "list_link",
    "pretty",
    "reload_page",
    "state_column",
    "tab",
]

PAGE_SIZE = 50
COUNT_LIMIT = 10_000
JSON_LIMIT = 100_000

# The label's colour by state; the word is always there too, so that colour is never alone.
COLOURS = {
    **dict.fromkeys(
        ("active", "succeeded", "serving", "live", "available", "feedback", "approved", "delivered", "sent"),
        "success",
    ),
    **dict.fromkeys(("published", "valid"), "success"),
    **dict.fromkeys(("running", "started", "ready", "fact", "pending"), "info"),
    **dict.fromkeys(
        ("waiting", "waiting_human", "paused", "draining", "retried", "released", "unknown", "expired"),
        "warning",
    ),
    **dict.fromkeys(
        ("failed", "lease_lost", "lost", "revoked", "retired", "rejected", "failing", "invalid"),
        "danger",
    ),
    "switched off": "danger",
}


class BoundedPaginator(Paginator):
    """Counts no further than 10,000 rows: a whole count of a table of events takes seconds."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[:COUNT_LIMIT].count())


class JsonField(forms.JSONField):
    """A JSON value as text that people can read and edit."""

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


class StaffAdmin(ModelAdmin):
    """What all our admins share."""

    list_per_page = PAGE_SIZE
    list_max_show_all = PAGE_SIZE
    show_full_result_count = False
    paginator = BoundedPaginator
    list_filter_submit = True
    warn_unsaved_form = True
    # A text area of ten lines is much for what is a few words with commas.
    formfield_overrides: ClassVar[dict[Any, dict[str, Any]]] = {
        ArrayField: {"widget": UnfoldAdminTextInputWidget},
        models.JSONField: {"form_class": JsonField},
    }

    def has_operate_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Cancelling and the like need the model's change permission, even where its form is read-only."""
        return request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}")

    def needless(self, obj: Any) -> Collection[str]:
        """The names of actions that do nothing for an object as it is, so that its page shows no button for them."""
        return ()

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        actions: list[Any] = super().get_actions_detail(request, object_id)
        obj = self.model._default_manager.filter(pk=unquote(str(object_id))).first() if actions else None
        hidden = (
            {f"{self.opts.app_label}_{self.opts.model_name}_{name}" for name in self.needless(obj)}
            if obj
            else ()
        )
        return [action for action in actions if action.action_name not in hidden]


class ReadOnlyAdmin(StaffAdmin):
    """A record of what happened: nobody adds, changes or deletes it here."""

    sortable_by: ClassVar[tuple[str, ...]] = ()

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class _OnOneObject:
    """Rows that belong to the object of a page: the list of the same name, narrowed, without links back."""

    owner: str
    search_fields = ()
    list_display_links = None
    actions = None
    extra_context: dict[str, Any]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        rows: models.QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]
        return rows.filter(**{self.owner: self.extra_context["object"]})


def tab(
    rows: type["ReadOnlyAdmin"], of: type[models.Model], owner: str, *columns: str, title: str
) -> type[BaseDataset]:
    """Make a tab that shows, 50 at a time, the rows of `of` whose `owner` is the object of the page."""
    narrowed = type(f"{of.__name__}Rows", (_OnOneObject, rows), {"owner": owner, "list_display": columns})
    contents = {"model": of, "model_admin": narrowed, "tab": True, "title": title}
    return type(f"{of.__name__}Tab", (BaseDataset,), contents)


class ReasonForm(forms.ModelForm):
    """A form that asks why, for the history."""

    change_reason = forms.CharField(
        required=False,
        max_length=100,
        widget=UnfoldAdminTextInputWidget,
        help_text="Kept in the history, next to the difference.",
    )


class HistoryAdmin(SimpleHistoryAdmin, StaffAdmin):
    """What people configure, with a history that tells who changed what and why."""

    form = ReasonForm
    history_list_per_page = PAGE_SIZE

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        self.keep_reason(obj, form)
        super().save_model(request, obj, form, change)

    def keep_reason(self, obj: Any, form: Any) -> None:
        """Have the next save of `obj` tell the history why."""
        obj._change_reason = form.cleaned_data.get("change_reason") or None


class ConfigurationAdmin(HistoryAdmin, ImportExportModelAdmin):
    """Such a thing that needs no care when it is written, so that it can be imported and exported as well."""

    import_form_class = ImportForm
    export_form_class = SelectableFieldsExportForm


def add_problem(form: forms.BaseForm, problem: Problem) -> None:
    """Say at a form's fields what a service found wrong; what belongs to none of them, above all."""
    for error in problem.errors:
        field = error.pointer.split("/")[1] if error.pointer.startswith("/") else ""
        form.add_error(field if field in form.fields else None, error.detail)
    if not problem.errors:
        form.add_error(None, problem.detail)


class ConfirmForm(BaseDialogForm):
    """Asks before acting. Acting needs a POST with its CSRF token: a link alone changes nothing."""


def confirm(
    title: str, description: str, submit: str, form: type[BaseDialogForm] = ConfirmForm
) -> dict[str, Any]:
    """Return the dialog of an `action`."""
    return {"title": title, "description": description, "form_class": form, "form_submit_text": submit}


def reload_page(url: str) -> HttpResponse:
    """End a dialog by going to `url`."""
    return HttpResponse(headers={"HX-Redirect": url})


def link(target: str, pk: str | int | None, text: object = "") -> SafeString | str:
    """Link to the admin page of a row; `target` is `app.model`, so that lower apps can name higher ones."""
    if not pk:
        return "–"
    return format_html(
        '<a class="mesh-link font-medium text-primary-600 dark:text-primary-500" href="{}">{}</a>',
        reverse(f"admin:{target.replace('.', '_')}_change", args=[pk]),
        text or pk,
    )


def list_link(target: str, text: object, **filters: str) -> SafeString:
    """Link to a list, narrowed by `filters`."""
    url = reverse(f"admin:{target.replace('.', '_')}_changelist")
    return format_html(
        '<a class="font-medium text-primary-600 dark:text-primary-500" href="{}?{}">{}</a>',
        url,
        urlencode(filters),
        text,
    )


def link_column(field: str, target: str, title: str, text: str = "") -> Callable[..., Any]:
    """A column that links to the row whose id is in `field`; `text` is a path to what is shown instead."""

    @display(description=title)
    def column(_admin: Any, obj: models.Model) -> SafeString | str:
        return link(target, getattr(obj, field), _path(obj, text) if text else "")

    return column


def state_column(field: str = "state", title: str = "State") -> Callable[..., Any]:
    """A column that shows a state as a coloured label."""

    @display(description=title)
    def column(_admin: Any, obj: models.Model) -> str:
        return badge(str(_path(obj, field) or ""))

    return column


@lru_cache(maxsize=256)
def badge(state: str) -> str:
    """A state as a coloured label, in lists and forms alike."""
    if not state:
        return "–"
    return render_to_string("unfold/helpers/label.html", {"type": COLOURS.get(state, ""), "text": state})


def _path(obj: Any, path: str) -> Any:
    """Follow a dotted path as far as it leads."""
    for name in path.split("."):
        obj = getattr(obj, name, None)
    return obj


def pretty(value: object) -> SafeString | str:
    """Show a JSON value readably; a very long one is cut, and says so."""
    if value is None:
        return "–"
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    note = ""
    if len(text) > JSON_LIMIT:
        text, note = text[:JSON_LIMIT], f"\n… cut; {len(text):,} characters in all"
    return format_html('<pre class="mesh-json">{}{}</pre>', text, note)


def ago(moment: datetime | None) -> str:
    """Say how long ago (or in how long) a moment is: `12 s ago`, `in 3 min`."""
    if moment is None:
        return "–"
    seconds = (timezone.now() - moment).total_seconds()
    size = abs(seconds)
    for limit, unit, one in (
        (120, "s", 1),
        (7200, "min", 60),
        (172_800, "h", 3600),
        (float("inf"), "d", 86_400),
    ):
        if size < limit:
            amount = f"{size / one:.0f} {unit}"
            break
    return f"{amount} ago" if seconds >= 0 else f"in {amount}"
