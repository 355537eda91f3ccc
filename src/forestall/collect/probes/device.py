"""Signs in to a device and captures its configuration, as its recipe says (collect/devices)."""

from forestall.collect.answers import Answer, NotAsked, Number, Question, read_place, say_place
from forestall.collect.devices.capture import Device, capture
from forestall.collect.devices.recipe import find_recipe, recipe_names
from forestall.collect.devices.ssh import HostKeyChanged, Pin
from forestall.collect.reach import Reach
from forestall.kernel.errors import Trouble
from forestall.kernel.plugins import Setting, Spec

TIMEOUT_S = 180.0
PORTS = {"ssh": 22, "telnet": 23}

SPEC = Spec(
    name="device",
    title="Device configuration",
    about="Signs in to a device and captures its configuration with the commands of its recipe.",
    source="The recipes in src/forestall/collect/devices/recipes, each with its vendor's documents",
    settings=(
        Setting("recipe", "Recipe", "choice", required=True, choices=recipe_names(), help="What it is"),
        Setting(
            "transport", "By", "choice", default="ssh", choices=("ssh", "telnet"),
            help="Telnet only for what knows no SSH: everything crosses the network in plain text",
        ),
        Setting(
            "host_key", "Host key",
            help="Empty: the first one that is seen is remembered. After a replacement: the new one, "
            "as the failed answer shows it (ssh-ed25519 SHA256:…)",
        ),
        Setting(
            "old_algorithms", "Old algorithms", "yes_no", default=False,
            help="SSH with SHA-1 key exchange and CBC ciphers, for old devices alone",
        ),
    ),
    limits="Reads only. 4 MB a command, 180 s in all, 20 s without a byte. Secrets are masked before the "
    "text leaves the collector; what was cut short or refused is a finding and never a version.",
    produces=("probe.up", "probe.took_ms", "device.unsaved_lines", "device.host_key_changed"),
    credentials=("ssh", "telnet"),
)  # fmt: skip


async def probe(question: Question, reach: Reach) -> Answer:
    """Capture host[:port]."""
    settings = question.settings
    transport = settings["transport"]
    host, port = read_place(question.target, port=PORTS[transport])
    if not question.credential.get("user") and not question.credential.get("password"):
        raise NotAsked(
            "this probe needs a credential that is for this asset's site: add one under Credentials and "
            "choose it here"
        )
    try:
        recipe = find_recipe(settings["recipe"])
    except Trouble as trouble:
        raise NotAsked(str(trouble)) from trouble
    question.doing(f"looking up {host}")
    address = (await reach.resolve(host))[0]
    place = say_place(host, port)
    device = Device(
        recipe=recipe,
        address=address,
        port=port,
        place=place,
        transport=transport,
        pin=Pin(question.memory, place, trusted=(settings["host_key"] or "").strip()),
        old_algorithms=settings["old_algorithms"],
    )
    try:
        return await capture(device, question, question.masker)
    except HostKeyChanged as changed:
        raise NotAsked(
            changed.reason, raw=changed.shown, numbers=[Number("device.host_key_changed", 1.0)]
        ) from changed
