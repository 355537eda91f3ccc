"""Changing and removing sites, contacts, tags and probes, each with its journal entry (see actions.py)."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from django.db import transaction

from forestall.estate.actions import INTERVAL_LEAST_S, INTERVAL_MOST_S, made, note_change, site_of, unsealed
from forestall.estate.checks import clean_name, clean_ranges, email_or_none
from forestall.estate.models import Contact, Credential, EnrolmentToken, Probe, Site, Tag
from forestall.estate.tenancy import Scope
from forestall.estate.vault import seal
from forestall.kernel.errors import Trouble

TAG_MAX_CHARS = 64


def change_site(scope: Scope, site: Site, *, name: str, ranges: Iterable[str], address: str) -> Site:
    """Other particulars of a site."""
    with transaction.atomic():
        site.name, site.ranges, site.address = clean_name(name), clean_ranges(ranges), address
        made(lambda: site.save(update_fields=["name", "ranges", "address"]), "site", name)
        body = {"name": site.name, "ranges": site.ranges}
        note_change(scope, "site_changed", site.client_id, site.pk, body)
    return site


def remove_site(scope: Scope, site: Site) -> None:
    """The site is gone; its assets stay with the client, without a site."""
    with transaction.atomic():
        note_change(scope, "site_removed", site.client_id, site.pk, {"name": site.name})
        Site.objects.of(scope).filter(pk=site.pk).delete()


def change_contact(
    scope: Scope, contact: Contact, *, name: str, email: str = "", phone: str = "", site: str = ""
) -> Contact:
    """Other particulars of a contact."""
    contact.site = site_of(scope, contact.client, site)
    contact.name, contact.email = clean_name(name), email_or_none(email)
    contact.phone = phone.strip()[:40]
    with transaction.atomic():
        contact.save(update_fields=["site", "name", "email", "phone"])
        note_change(scope, "contact_changed", contact.client_id, contact.pk, {"name": contact.name})
    return contact


def remove_contact(scope: Scope, contact: Contact) -> None:
    """The contact is no longer one."""
    with transaction.atomic():
        note_change(scope, "contact_removed", contact.client_id, contact.pk, {"name": contact.name})
        Contact.objects.of(scope).filter(pk=contact.pk).delete()


def rename_tag(scope: Scope, tag: Tag, *, name: str) -> Tag:
    """Another word for the same assets."""
    name = name.strip()
    if not name or len(name) > TAG_MAX_CHARS:
        raise Trouble(f"a tag has 1 to {TAG_MAX_CHARS} characters", "Write another one.")
    with transaction.atomic():
        was, tag.name = tag.name, name
        made(lambda: tag.save(update_fields=["name"]), "tag", name)
        note_change(scope, "tag_changed", tag.client_id, tag.pk, {"name": name, "was": was})
    return tag


def remove_tag(scope: Scope, tag: Tag) -> None:
    """The tag is taken from all assets."""
    with transaction.atomic():
        note_change(scope, "tag_removed", tag.client_id, tag.pk, {"name": tag.name})
        Tag.objects.of(scope).filter(pk=tag.pk).delete()


def change_probe(
    scope: Scope,
    probe: Probe,
    *,
    target: str | None = None,
    settings: Mapping[str, Any] | None = None,
    secrets: Iterable[str] = (),
    interval_s: int | None = None,
    enabled: bool | None = None,
    credential: Credential | Literal["stays"] | None = "stays",
) -> Probe:
    """Ask another target, otherwise, at another pace, or not at all; what is None stays. `credential` (None:
    sign in with none) is one that `credentials.credential_for` gave for this asset.

    `settings` were read by the plug-in's SPEC, which also says which are `secrets`: one that is left out of
    `settings` stays as it is.
    """
    if interval_s is not None and not INTERVAL_LEAST_S <= interval_s <= INTERVAL_MOST_S:
        raise Trouble(
            f"a probe is asked every {INTERVAL_LEAST_S} s to 7 days, not every {interval_s} s",
            "Choose another interval.",
        )
    if target is not None and not target.strip():
        raise Trouble("a probe needs a target", "Write for example https://example.org or 10.0.0.5.")
    with transaction.atomic():
        probe.target = probe.target if target is None else target.strip()[:512]
        probe.interval_s = probe.interval_s if interval_s is None else interval_s
        probe.enabled = probe.enabled if enabled is None else enabled
        if settings is not None:
            fresh = unsealed(settings)
            for name in secrets:
                if not fresh.get(name):
                    fresh[name] = probe.settings.get(name)
                else:
                    fresh[name] = seal(probe.client_id, f"probe/{probe.pk}/{name}", str(fresh[name]))
            probe.settings = fresh
        if credential != "stays":
            probe.credential = credential
        probe.save(update_fields=["target", "interval_s", "enabled", "settings", "credential"])
        body = {
            "kind": probe.kind,
            "target": probe.target,
            "enabled": probe.enabled,
            "credential": probe.credential_id or "",
        }
        note_change(scope, "probe_changed", probe.client_id, probe.pk, body)
    return probe


def withdraw_enrolment_token(scope: Scope, token: EnrolmentToken) -> None:
    """The token lets nobody in any more."""
    with transaction.atomic():
        note_change(scope, "enrolment_token_withdrawn", token.client_id, token.pk, {})
        EnrolmentToken.objects.of(scope).filter(pk=token.pk, used_at=None).delete()
