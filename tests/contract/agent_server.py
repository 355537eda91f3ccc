"""A real web process for the agent's tests: doors, queue, database. Prints its port, a token, then serves.

Started as a process: agent_server.py DATA PORT; data of an earlier run are used again.
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

from forestall.estate.enrolment import make_enrolment_token  # noqa: E402
from forestall.estate.models import Client, Site  # noqa: E402
from forestall.estate.tenancy import system_scope  # noqa: E402

client, _ = Client.objects.get_or_create(name="Test")
site, _ = Site.objects.get_or_create(client=client, name="Here", defaults={"ranges": ["127.0.0.0/8"]})
token = make_enrolment_token(system_scope("test"), client=client.pk, site=site.pk)[1]


async def serve() -> None:
    config = uvicorn.Config(
        "forestall.web.asgi:application", host="127.0.0.1", port=int(sys.argv[2]), log_level="warning"
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started and not running.done():
        await asyncio.sleep(0.01)
    print(token, flush=True)
    await running


asyncio.run(serve())
