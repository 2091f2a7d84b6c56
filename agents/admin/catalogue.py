"""The model catalogue, and the keys of its providers."""

from datetime import timedelta

from django import forms
from django.contrib import admin
from django.utils import timezone

from agents import crypto
from agents.models import CatalogueModel, ProviderCredential
from web.admin_site import (
    ConfigurationAdmin,
    FieldTextFilter,
    StaffAdmin,
    UnfoldAdminPasswordWidget,
    badge,
    display,
    link_column,
)

RETIREMENT_NOTICE = timedelta(days=60)


@admin.register(CatalogueModel)
class CatalogueModelAdmin(ConfigurationAdmin):
    list_display = ("id", "provider", "tier", "lifecycle", "retires_on", "alias_list", "price")
    list_filter = (("provider", FieldTextFilter), ("tier", FieldTextFilter))
    search_fields = ("id", "provider")
    readonly_fields = ("lifecycle", "updated_at")

    @display(
        description="Lifecycle",
        label={"available": "success", "retired": "danger", "retires soon": "warning"},
    )
    def lifecycle(self, obj: CatalogueModel) -> str:
        today = timezone.localdate()
        if obj.retires_on is None or obj.retires_on > today + RETIREMENT_NOTICE:
            return badge("available")
        return badge("retires soon" if obj.retires_on > today else "retired")

    @display(description="Aliases")
    def alias_list(self, obj: CatalogueModel) -> str:
        return ", ".join(obj.aliases) or "–"

    @display(description="$ per million, in / out")
    def price(self, obj: CatalogueModel) -> str:
        return f"{obj.prices.get('input', '–')} / {obj.prices.get('output', '–')}"


class CredentialForm(forms.ModelForm):
    """Takes a key and never gives it back: the field is always empty, and empty keeps what is stored."""

    key = forms.CharField(
        label="API key",
        required=False,
        strip=True,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Stored encrypted and never shown. Empty keeps the present one.",
    )

    class Meta:
        model = ProviderCredential
        fields = ("project", "provider", "base_url")

    def clean_key(self) -> str:
        key: str = self.cleaned_data["key"]
        if not key and self.instance._state.adding:
            raise forms.ValidationError("A new credential needs its key.")
        return key

    def save(self, commit: bool = True) -> ProviderCredential:
        if key := self.cleaned_data["key"]:
            self.instance.encrypted_key = crypto.encrypt(key)
        saved: ProviderCredential = super().save(commit)
        return saved


@admin.register(ProviderCredential)
class ProviderCredentialAdmin(StaffAdmin):
    form = CredentialForm
    list_display = ("id", "provider", "project_", "base_url", "updated_at")
    list_filter = (("provider", FieldTextFilter),)
    list_select_related = ("project",)
    search_fields = ("id__exact", "project__id__exact", "provider")
    autocomplete_fields = ("project",)

    project_ = link_column("project_id", "networks.project", "Project", "project.name")
