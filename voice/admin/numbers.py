"""Telephone numbers: whose network answers them, and by which config."""

from typing import Any

from django import forms
from django.contrib import admin

from voice.addresses import webhook_url
from voice.config_parsing import NETWORK, ConfigInvalid, parse
from voice.config_reading import is_phone_number
from voice.models import PhoneNumber
from web.admin_site import ConfigurationAdmin, FieldTextFilter, ReasonForm, display, link_column, list_link


class PhoneNumberForm(ReasonForm):
    """Refuses what a call would stumble over."""

    class Meta:
        model = PhoneNumber
        fields = ("project", "network", "number", "label", "config", "sip_uri", "active")

    def clean_number(self) -> str:
        number = str(self.cleaned_data["number"])
        if not is_phone_number(number):
            raise forms.ValidationError("Must be an E.164 number such as +15005550006.")
        return number

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        project, network = values.get("project"), values.get("network")
        if project and network and network.project_id != project.pk:
            self.add_error("network", "Belongs to another project.")
        if "config" not in values:
            return values  # it is no JSON, which is said already
        try:
            config = parse(
                values["config"] or {}, provider="twilio", network_id=network.pk if network else ""
            )
        except ConfigInvalid as error:
            for pointer, message, _ in error.findings:
                self.add_error("config", f"{pointer or 'The config'}: {message}")
        else:
            if config.network_id != (network.pk if network else ""):
                self.add_error("config", "/network_id: Differs from the number's network.")
            elif not network and NETWORK in config.connectors["llm"].names:
                self.add_error("network", "The config's llm is the network: choose one.")
        return values


@admin.register(PhoneNumber)
class PhoneNumberAdmin(ConfigurationAdmin):
    form = PhoneNumberForm
    list_display = ("number", "label", "active", "network_", "project_", "sip_uri", "calls", "updated_at")
    list_filter = ("active", ("network__name", FieldTextFilter), ("project__name", FieldTextFilter))
    list_select_related = ("network", "project")
    search_fields = ("id__exact", "number", "label", "network__id__exact")
    search_help_text = "An id of a number or network, or a part of a number or label."
    autocomplete_fields = ("project", "network")
    readonly_fields = ("id", "webhook", "calls", "created_at", "updated_at")

    network_ = link_column("network_id", "networks.network", "Network", "network.name")
    project_ = link_column("project_id", "networks.project", "Project", "project.name")

    @display(description="Its carrier asks")
    def webhook(self, obj: PhoneNumber) -> str:
        return webhook_url("/twilio/voice")

    @display(description="See")
    def calls(self, obj: PhoneNumber) -> Any:
        return list_link("voice.phonecall", "calls", q=obj.number) if obj.pk else "–"
