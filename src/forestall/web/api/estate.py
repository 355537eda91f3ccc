"""The API of the estate: clients, sites, contacts, assets, tags."""

from typing import Any

from django.http import HttpRequest
from ninja import Router

from forestall.estate import actions, amending, queries
from forestall.estate.models import Asset, Client, Contact, Site
from forestall.kernel.cursors import Page, cut, read_cursor
from forestall.web.api import shapes
from forestall.web.api.auth import May, seen_by
from forestall.web.api.paging import Listed, after_name, cursor_of, limit_of, one

router = Router(tags=["estate"])
READ, WRITE = May("estate:read"), May("estate:write")


def _by_name(row: Any) -> tuple[str, str]:
    return row.name, row.pk


@router.get("/clients", auth=READ, response=Listed[shapes.ClientOut])
def list_clients(
    request: HttpRequest, cursor: str = cursor_of(), limit: int = limit_of(), archived: bool = False
) -> Page[Any]:
    """Clients by name."""
    (after,) = read_cursor(cursor, tuple[str]) if cursor else ("",)
    rows = queries.list_clients(seen_by(request), after=after, limit=limit + 1, archived=archived)
    return cut(rows, limit, lambda row: (row.name,))


@router.post("/clients", auth=WRITE, response={201: shapes.ClientOut})
def add_client(request: HttpRequest, body: shapes.ClientIn) -> tuple[int, Client]:
    """Add a client."""
    return 201, actions.add_client(seen_by(request), name=body.name, timezone_name=body.timezone)


@router.get("/clients/{client}", auth=READ, response=shapes.ClientOut)
def get_client(request: HttpRequest, client: str) -> Client:
    """A client."""
    return one(request, queries.find_client, client)


@router.patch("/clients/{client}", auth=WRITE, response=shapes.ClientOut)
def change_client(request: HttpRequest, client: str, body: shapes.ClientChange) -> Client:
    """Change a client; `keep_…_days` null means as the installation keeps them."""
    row = one(request, queries.find_client, client)
    given = body.model_dump(exclude_unset=True)
    return actions.change_client(
        seen_by(request),
        row,
        name=given.get("name") or row.name,
        timezone_name=given.get("timezone") or "",
        keep_logs_days=given.get("keep_logs_days", row.keep_logs_days),
        keep_samples_days=given.get("keep_samples_days", row.keep_samples_days),
    )


@router.delete("/clients/{client}", auth=WRITE, response={204: None})
def archive_client(request: HttpRequest, client: str) -> tuple[int, None]:
    """Archive a client: it is no longer watched; what was kept stays for its term."""
    actions.archive_client(seen_by(request), one(request, queries.find_client, client))
    return 204, None


@router.get("/clients/{client}/tree", auth=READ, response=list[shapes.BranchOut])
def asset_tree(request: HttpRequest, client: str) -> list[queries.Branch]:
    """The client's assets, each with what hangs on it."""
    return queries.tree_of(seen_by(request), client=one(request, queries.find_client, client).pk)


@router.get("/sites", auth=READ, response=Listed[shapes.SiteOut])
def list_sites(
    request: HttpRequest, client: str = "", cursor: str = cursor_of(), limit: int = limit_of()
) -> Page[Any]:
    """Sites by name."""
    rows = queries.list_sites(seen_by(request), client=client, after=after_name(cursor), limit=limit + 1)
    return cut(rows, limit, _by_name)


@router.post("/sites", auth=WRITE, response={201: shapes.SiteOut})
def add_site(request: HttpRequest, body: shapes.SiteIn) -> tuple[int, Site]:
    """Add a site."""
    return 201, actions.add_site(seen_by(request), **body.model_dump())


@router.get("/sites/{site}", auth=READ, response=shapes.SiteOut)
def get_site(request: HttpRequest, site: str) -> Site:
    """A site."""
    return one(request, queries.find_site, site)


@router.patch("/sites/{site}", auth=WRITE, response=shapes.SiteOut)
def change_site(request: HttpRequest, site: str, body: shapes.SiteChange) -> Site:
    """Change a site."""
    row = one(request, queries.find_site, site)
    kept = {"name": row.name, "ranges": row.ranges, "address": row.address}
    return amending.change_site(seen_by(request), row, **kept | body.model_dump(exclude_none=True))


@router.delete("/sites/{site}", auth=WRITE, response={204: None})
def remove_site(request: HttpRequest, site: str) -> tuple[int, None]:
    """Remove a site; its assets stay with the client."""
    amending.remove_site(seen_by(request), one(request, queries.find_site, site))
    return 204, None


@router.get("/contacts", auth=READ, response=Listed[shapes.ContactOut])
def list_contacts(
    request: HttpRequest, client: str = "", cursor: str = cursor_of(), limit: int = limit_of()
) -> Page[Any]:
    """Contacts by name."""
    rows = queries.list_contacts(seen_by(request), client=client, after=after_name(cursor), limit=limit + 1)
    return cut(rows, limit, _by_name)


@router.post("/contacts", auth=WRITE, response={201: shapes.ContactOut})
def add_contact(request: HttpRequest, body: shapes.ContactIn) -> tuple[int, Contact]:
    """Add a contact."""
    return 201, actions.add_contact(seen_by(request), **body.model_dump())


@router.get("/contacts/{contact}", auth=READ, response=shapes.ContactOut)
def get_contact(request: HttpRequest, contact: str) -> Contact:
    """A contact."""
    return one(request, queries.find_contact, contact)


@router.patch("/contacts/{contact}", auth=WRITE, response=shapes.ContactOut)
def change_contact(request: HttpRequest, contact: str, body: shapes.ContactChange) -> Contact:
    """Change a contact."""
    row = one(request, queries.find_contact, contact)
    kept = {"name": row.name, "email": row.email, "phone": row.phone, "site": row.site_id or ""}
    return amending.change_contact(seen_by(request), row, **kept | body.model_dump(exclude_none=True))


@router.delete("/contacts/{contact}", auth=WRITE, response={204: None})
def remove_contact(request: HttpRequest, contact: str) -> tuple[int, None]:
    """Remove a contact."""
    amending.remove_contact(seen_by(request), one(request, queries.find_contact, contact))
    return 204, None


@router.get("/assets", auth=READ, response=Listed[shapes.AssetOut])
def list_assets(
    request: HttpRequest,
    client: str = "",
    site: str = "",
    kind: str = "",
    tag: str = "",
    q: str = "",
    archived: bool = False,
    cursor: str = cursor_of(),
    limit: int = limit_of(),
) -> Page[Any]:
    """Assets by name; `q` holds words of which all occur in the name."""
    rows = queries.list_assets(
        seen_by(request),
        client=client,
        site=site,
        kind=kind,
        tag=tag,
        words=q,
        archived=archived,
        after=after_name(cursor),
        limit=limit + 1,
    )
    return cut(rows, limit, _by_name)


@router.post("/assets", auth=WRITE, response={201: shapes.AssetOut})
def add_asset(request: HttpRequest, body: shapes.AssetIn) -> tuple[int, Asset]:
    """Add an asset."""
    return 201, actions.add_asset(seen_by(request), **body.model_dump())


@router.get("/assets/{asset}", auth=READ, response=shapes.AssetDetails)
def get_asset(request: HttpRequest, asset: str) -> Asset:
    """An asset with what it hangs on and what hangs on it."""
    row: Any = one(request, queries.find_asset, asset)
    row.parents = queries.parents_of(seen_by(request), row)
    row.hanging_here = queries.children_of(seen_by(request), row)
    return row  # type: ignore[no-any-return]


@router.patch("/assets/{asset}", auth=WRITE, response=shapes.AssetOut)
def change_asset(request: HttpRequest, asset: str, body: shapes.AssetChange) -> Asset:
    """Change an asset."""
    row = one(request, queries.find_asset, asset)
    kept = {
        "name": row.name,
        "kind": row.kind,
        "site": row.site_id or "",
        "parent": row.parent_id or "",
        "addresses": row.addresses,
        "tags": [tag.name for tag in row.tags.all()],
        "notes": row.notes,
    }
    actions.change_asset(seen_by(request), row, **kept | body.model_dump(exclude_none=True))
    return one(request, queries.find_asset, asset)


@router.delete("/assets/{asset}", auth=WRITE, response={204: None})
def archive_asset(request: HttpRequest, asset: str) -> tuple[int, None]:
    """Archive an asset: it is no longer watched."""
    actions.archive_asset(seen_by(request), one(request, queries.find_asset, asset))
    return 204, None


@router.get("/tags", auth=READ, response=Listed[shapes.TagOut])
def list_tags(
    request: HttpRequest, client: str = "", cursor: str = cursor_of(), limit: int = limit_of()
) -> Page[Any]:
    """Tags by name; assets are given them."""
    rows = queries.list_tags(seen_by(request), client=client, after=after_name(cursor), limit=limit + 1)
    return cut(rows, limit, _by_name)


@router.patch("/tags/{tag}", auth=WRITE, response=shapes.TagOut)
def rename_tag(request: HttpRequest, tag: str, body: shapes.TagChange) -> Any:
    """Rename a tag on all of its assets."""
    return amending.rename_tag(seen_by(request), one(request, queries.find_tag, tag), name=body.name)


@router.delete("/tags/{tag}", auth=WRITE, response={204: None})
def remove_tag(request: HttpRequest, tag: str) -> tuple[int, None]:
    """Take a tag from all of its assets."""
    amending.remove_tag(seen_by(request), one(request, queries.find_tag, tag))
    return 204, None
