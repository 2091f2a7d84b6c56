"""Webhooks: where events are told, and what became of each delivery."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.filters import EmptyFieldListFilter
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from tasks.models import WebhookDelivery, WebhookEndpoint
from tasks.webhooks import services
from web.admin_site import (
    ChoicesDropdownFilter,
    FieldTextFilter,
    RangeDateTimeFilter,
    ReadOnlyAdmin,
    StaffAdmin,
    action,
    add_problem,
    ago,
    badge,
    confirm,
    display,
    link,
    link_column,
    list_link,
    pretty,
    reload_page,
    state_column,
    tab,
)
from web.problems import Problem

AT_ONCE = 200


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "event_type",
        "state_",
        "endpoint_",
        "attempts",
        "status",
        "error",
        "next",
        "created_at",
    )
    list_filter = (
        ("state", ChoicesDropdownFilter),
        ("event_type", FieldTextFilter),
        ("endpoint__project__name", FieldTextFilter),
        ("created_at", RangeDateTimeFilter),
    )
    list_select_related = ("endpoint",)
    search_fields = ("id__exact", "endpoint__id__exact", "event_id__exact")
    search_help_text = "The id of a delivery, webhook or event, exactly."
    fields = (
        ("event_type", "state_", "endpoint_"),
        ("attempts", "status", "error"),
        ("created_at", "delivered_at", "next_at"),
        "event_id",
        "response",
        "payload_",
    )
    actions = ("redeliver_selected",)
    actions_detail = ("redeliver",)

    state_ = state_column()
    endpoint_ = link_column("endpoint_id", "tasks.webhookendpoint", "Webhook", "endpoint.url")

    @display(description="Event")
    def link(self, obj: WebhookDelivery) -> Any:
        return link("tasks.webhookdelivery", obj.pk, obj.event_type)

    @display(description="Next try")
    def next(self, obj: WebhookDelivery) -> str:
        return ago(obj.next_at) if obj.state == WebhookDelivery.State.PENDING else "–"

    @display(description="Payload")
    def payload_(self, obj: WebhookDelivery) -> Any:
        return pretty(obj.payload)

    @action(
        description="Redeliver",
        icon="replay",
        permissions=["operate"],
        dialog=confirm(
            "Send it once more?", "Now, under the same id, so its receiver knows it.", "Redeliver"
        ),
    )
    def redeliver(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        self.redeliver_selected(request, WebhookDelivery.objects.filter(pk=object_id))
        return reload_page(reverse("admin:tasks_webhookdelivery_change", args=[object_id]))

    @action(description="Redeliver", permissions=["operate"])
    def redeliver_selected(self, request: HttpRequest, queryset: QuerySet[WebhookDelivery]) -> None:
        deliveries = list(queryset.select_related("endpoint")[:AT_ONCE])
        for delivery in deliveries:
            services.redeliver(delivery=delivery)
            self.log_change(request, delivery, "Redelivered.")
        messages.success(request, f"{len(deliveries)} to be sent once more.")
        if any(not delivery.endpoint.active for delivery in deliveries):
            messages.warning(
                request, "Some go to webhooks that are switched off: they wait until those are on."
            )


class WebhookForm(forms.ModelForm):
    class Meta:
        model = WebhookEndpoint
        fields = ("project", "url", "description", "events", "active")

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        try:
            services.check({name: values[name] for name in ("url", "events") if name in values})
        except Problem as problem:
            add_problem(self, problem)
        return values


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(StaffAdmin):
    """The secret is shown when it is made, and never again."""

    form = WebhookForm
    list_display = ("url", "id", "state", "project_", "listens", "failing", "deliveries", "created_at")
    list_filter = (
        "active",
        ("failing_since", EmptyFieldListFilter),
        ("project__name", FieldTextFilter),
    )
    list_select_related = ("project",)
    search_fields = ("id__exact", "project__id__exact", "url")
    search_help_text = "An id of a webhook or project, or a part of an address."
    autocomplete_fields = ("project",)
    readonly_fields = ("state", "failing", "disabled_reason", "deliveries", "id", "created_at", "updated_at")
    change_form_datasets = (
        tab(
            WebhookDeliveryAdmin, WebhookDelivery, "endpoint_id",
            "link", "state_", "attempts", "status", "error", "next", "created_at",
            title="Deliveries",
        ),
    )  # fmt: skip
    actions_detail = ("switch_on", "send_test", "rotate")

    project_ = link_column("project_id", "networks.project", "Project", "project.name")

    @display(description="State")
    def state(self, obj: WebhookEndpoint) -> str:
        if not obj.active:
            return badge("switched off" if obj.disabled_reason else "paused")
        return badge("failing" if obj.failing_since else "active")

    @display(description="Listens to")
    def listens(self, obj: WebhookEndpoint) -> str:
        return ", ".join(obj.events[:4]) + ("…" if len(obj.events) > 4 else "") or "every event"

    @display(description="Fails since")
    def failing(self, obj: WebhookEndpoint) -> str:
        return ago(obj.failing_since)

    @display(description="See")
    def deliveries(self, obj: WebhookEndpoint) -> Any:
        return list_link("tasks.webhookdelivery", "deliveries", endpoint__id__exact=obj.pk)

    def get_readonly_fields(self, request: HttpRequest, obj: WebhookEndpoint | None = None) -> Any:
        return (*self.readonly_fields, "project") if obj else self.readonly_fields

    def save_model(self, request: HttpRequest, obj: WebhookEndpoint, form: Any, change: bool) -> None:
        values = {name: form.cleaned_data[name] for name in ("url", "description", "events", "active")}
        if change:  # only what changed: to say `active` again would forget that it fails
            changes = {name: value for name, value in values.items() if name in form.changed_data}
            services.update_endpoint(endpoint=obj, changes=changes)
            return
        made, secret = services.create_endpoint(project=form.cleaned_data["project"], values=values)
        obj.pk = made.pk
        self._show(request, made, secret)

    def needless(self, obj: WebhookEndpoint) -> tuple[str, ...]:
        return ("switch_on",) if obj.active else ()

    @action(
        description="Switch on",
        icon="toggle_on",
        permissions=["operate"],
        dialog=confirm(
            "Switch it on?", "Why it was switched off is forgotten; what waits is sent.", "Switch on"
        ),
    )
    def switch_on(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        endpoint = WebhookEndpoint.objects.get(pk=object_id)
        services.update_endpoint(endpoint=endpoint, changes={"active": True})
        self.log_change(request, endpoint, "Switched on.")
        messages.success(request, "It is on.")
        return _back(object_id)

    @action(
        description="Send a test",
        icon="send",
        permissions=["operate"],
        dialog=confirm("Send a test?", "A webhook.test event is sent now.", "Send"),
    )
    def send_test(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        endpoint = WebhookEndpoint.objects.get(pk=object_id)
        delivery = services.send_test(endpoint=endpoint)
        self.log_change(request, endpoint, "Test sent.")
        messages.success(request, f"{delivery.pk} is on its way.")
        return _back(object_id)

    @action(
        description="Rotate the secret",
        icon="autorenew",
        permissions=["operate"],
        dialog=confirm(
            "Rotate the secret?",
            "The present one signs nothing any more; the new one is shown once.",
            "Rotate",
        ),
    )
    def rotate(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        endpoint = WebhookEndpoint.objects.get(pk=object_id)
        self._show(request, endpoint, services.rotate_secret(endpoint=endpoint))
        return _back(object_id)

    def _show(self, request: HttpRequest, endpoint: WebhookEndpoint, secret: str) -> None:
        self.log_change(request, endpoint, "Secret shown once.")
        messages.warning(request, f"The signing secret, shown this once; copy it now: {secret}")


def _back(webhook_id: str) -> HttpResponse:
    return reload_page(reverse("admin:tasks_webhookendpoint_change", args=[webhook_id]))
