"""The house keeps its own rules: foreign keys point back, plug-ins are complete, documents lead somewhere."""

import re
import subprocess
import tomllib
from pathlib import Path

from django.apps import apps
from django.db.models import ForeignKey, ManyToManyField

ROOT = Path(__file__).parents[2]
TEMPLATE_LINE_MOST = 250
ROOMS = [
    layer.removeprefix("forestall.")
    for layer in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0][
        "layers"
    ]
]  # the last room of the road first
PLUGIN_HOMES = (
    "forestall.collect.probes",
    "forestall.collect.host.everywhere",
    "forestall.collect.host.linux",
    "forestall.collect.host.windows",
    "forestall.collect.host.macos",
    "forestall.collect.listeners",
    "forestall.intake.doors",
    "forestall.alerts.notifiers",
)


def our_files(*suffixes: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split() if name.endswith(suffixes) and (ROOT / name).exists()]


def test_foreign_keys_point_back_along_the_road() -> None:
    for model in apps.get_models():
        room = model._meta.app_label
        if room not in ROOMS:
            continue
        for field in model._meta.get_fields():
            if isinstance(field, ForeignKey | ManyToManyField):
                target = field.related_model._meta.app_label
                assert target not in ROOMS or ROOMS.index(target) >= ROOMS.index(room), (
                    f"{room}.{model.__name__}.{field.name} points to {target}, which comes later on the road"
                )


def test_every_plugin_has_a_whole_spec() -> None:
    from forestall.kernel.plugins import load

    for home in PLUGIN_HOMES:
        for name, module in load(home).items():
            assert module.SPEC.title and module.SPEC.about and module.SPEC.source, (
                f"{home}.{name}: say more in SPEC"
            )


def test_every_module_says_its_place() -> None:
    for path in our_files(".py"):
        if "migrations" in path.parts or path.name == "apps.py":
            continue
        text = path.read_text()
        assert not text.strip() or text.lstrip().startswith(('"""', 'r"""', "#!")), f"{path}: no docstring"


def test_links_between_documents_lead_somewhere() -> None:
    for path in our_files(".md"):
        for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)#]+)", path.read_text()):
            assert (path.parent / target).exists(), (
                f"{path.relative_to(ROOT)} links to {target}, which is not there"
            )


def test_no_registry_hosts_and_no_paths_of_a_machine() -> None:
    wrong = re.compile(
        r"pypi" + r"\.org|files\.pythonhosted|registry\.npmjs|--index-url|" + re.escape(f"{ROOT}/")
    )
    for path in our_files(".py", ".md", ".toml", ".lock", ".in", ".sh", ".yaml", "Makefile", ".ci/run"):
        if path == Path(__file__):
            continue
        found = wrong.search(path.read_text())
        assert not found, f"{path.relative_to(ROOT)}: {found and found[0]}"


def test_templates_can_be_read() -> None:
    """One element a line, children under their parents: nobody can review a page that is one long line."""
    long = [
        f"{path.relative_to(ROOT)}:{number} has {len(line)} characters"
        for path in our_files(".html")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > TEMPLATE_LINE_MOST
    ]
    assert not long, "\n".join(long)
