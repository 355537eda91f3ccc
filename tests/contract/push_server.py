"""A real web process for programs that push: doors, queue, database. Prints a token, then serves.

Started as a process: push_server.py DATA PORT; data of an earlier run are used again, the token is new.
"""

import asyncio
import os
import sys
from pathlib import Path

import uvicorn

os.environ["FORESTALL_DATA"] = sys.argv[1]
os.environ["DJANGO_SETTINGS_MODULE"] = "forestall.web.settings"

from forestall.kernel.datadir import DataDir

DataDir(Path(sys.argv[1])).create()
for key in ("django", "journal", "vault", "store"):
    DataDir(Path(sys.argv[1])).key(key)

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402

call_command("migrate", verbosity=0)

from django.utils import timezone  # noqa: E402

from forestall.estate.access import make_token  # noqa: E402
from forestall.estate.models import Asset, Client, Person  # noqa: E402

client, _ = Client.objects.get_or_create(name="Test")
asset, _ = Asset.objects.get_or_create(client=client, name="pusher", defaults={"kind": "server"})
owner = Person.objects.filter(email="owner@example.com").first() or Person.objects.create_user(
    "owner@example.com", role="owner", all_clients=True, name="Owner"
)
_, secret = make_token(
    owner, name=f"push {timezone.now():%s}", may=["intake"], client=client.pk, asset=asset.pk,
    rate_bytes_per_s=1 << 30,
)  # fmt: skip


async def serve() -> None:
    config = uvicorn.Config(
        "forestall.web.asgi:application", host="127.0.0.1", port=int(sys.argv[2]), log_level="warning"
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started and not running.done():
        await asyncio.sleep(0.01)
    print(secret, flush=True)
    await running


asyncio.run(serve())
