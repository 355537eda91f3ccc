"""A real web process for programs that push: doors, queue, database. Prints its tokens as JSON, then serves.

Started as a process: push_server.py DATA PORT.
"""

import asyncio
import json
import os
import sys
from datetime import timedelta
from pathlib import Path

import uvicorn

os.environ["FORESTALL_DATA"] = sys.argv[1]
os.environ["DJANGO_SETTINGS_MODULE"] = "forestall.web.settings"

from forestall.kernel.datadir import DataDir
from forestall.kernel.signs import Heart

DataDir(Path(sys.argv[1])).create()
for key in ("django", "journal", "vault", "store"):
    DataDir(Path(sys.argv[1])).key(key)

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402

call_command("migrate", verbosity=0)

from django.utils import timezone  # noqa: E402

from forestall.estate.access import make_person, make_token, revoke_token  # noqa: E402
from forestall.estate.models import ApiToken, Asset, Client  # noqa: E402
from forestall.estate.tenancy import system_scope  # noqa: E402
from forestall.estate.values import Role  # noqa: E402
from forestall.intake.heartbeats import add_heartbeat, secret_of  # noqa: E402

client = Client.objects.create(name="Test")
asset = Asset.objects.create(client=client, name="pusher", kind="server")
owner = make_person(
    name="Owner", email="owner@provider.example", role=Role.OWNER, actor="test", all_clients=True
)


def token(name: str, **more: object) -> str:
    given = {"may": ["intake"], "client": client.pk} | more
    return make_token(owner, name=name, **given)[1]  # type: ignore[arg-type]


tokens = {
    "good": token("good"),
    "asset": token("asset", asset=asset.pk),
    "reader": token("reader", may=["estate:read"]),
    "unbound": token("unbound", client=None),
    "slow": token("slow", rate_bytes_per_s=100),
    "small": token("small", body_max_bytes=50),
    "expired": token("expired", expires_at=timezone.now() + timedelta(days=1)),
    "revoked": token("revoked"),
}
ApiToken.objects.filter(name="expired").update(expires_at=timezone.now() - timedelta(seconds=1))
revoke_token(ApiToken.objects.get(name="revoked"), actor="test")
tokens["heartbeat"] = secret_of(add_heartbeat(system_scope("test"), asset=asset, name="nightly"))


async def serve() -> None:
    from forestall.web.asgi import application

    heart = Heart("web", DataDir(Path(sys.argv[1])).run, numbers=application.numbers)
    config = uvicorn.Config(application, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started and not running.done():
        await asyncio.sleep(0.01)
    heart.start()
    print(json.dumps(tokens | {"client": client.pk, "asset_id": asset.pk}), flush=True)
    await running


asyncio.run(serve())
