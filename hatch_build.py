"""Builds the front end into src/forestall/web/static/dist (ignored by git) from pinned packages: no Node.

Runs as hatchling's build hook, and by itself (`make assets`) after a template or style was edited.
"""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by itself, without the build back end
    BuildHookInterface = object  # type: ignore[assignment, misc]

REVIEWED = {  # SHA-256 of the third-party files that are handed to browsers
    "uplot.iife.min.js": "2d27e8ad3d228164525ce213f9dc716f39b4e3aee0cc773fb3491c96cf4921a2",
    "uplot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "htmx-2.min.js": "71ea67185bfa8c98c39d31717c6fce5d852370fcdfd129db4543774d3145c0de",
}


def package_dir(name: str) -> Path:
    """Where an installed package lies."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"the package {name} is not installed: run make install")
    return Path(found.submodule_search_locations[0])


def take(source: Path, target: Path) -> None:
    """Copy a reviewed third-party file; a file that was not reviewed stops the build."""
    data = source.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if REVIEWED[source.name] != digest:
        raise SystemExit(f"{source} is not the file that was reviewed (sha256 {digest})")
    target.write_bytes(data)


def build(root: Path) -> None:
    """Style sheet, scripts and font."""
    import rjsmin
    from fontTools import subset, ttLib
    from fontTools.varLib import instancer

    web = root / "src/forestall/web"
    dist = web / "static/dist"
    dist.mkdir(parents=True, exist_ok=True)
    uplot = package_dir("youplot") / "vendor"
    take(uplot / "uplot.iife.min.js", dist / "uplot.js")
    take(uplot / "uplot.min.css", dist / "uplot.css")
    take(package_dir("django_htmx") / "static/django_htmx/htmx-2.min.js", dist / "htmx.js")
    for script in (web / "assets").glob("*.js"):
        (dist / script.name).write_text(rjsmin.jsmin(script.read_text()))
    font = dist / "inter.woff2"
    source = package_dir("fontpkg_inter") / "files" / "Inter[opsz,wght].ttf"
    if not font.exists() or font.stat().st_mtime < source.stat().st_mtime:  # takes seconds
        instance = instancer.instantiateVariableFont(ttLib.TTFont(source), {"opsz": 14, "wght": (400, 700)})
        whole = dist / "inter.ttf"
        instance.save(whole)
        letters = "U+0020-007E,U+00A0-017F,U+2010-2026,U+20AC,U+2190-2193,U+2212,U+00D7"
        subset.main(
            [
                str(whole),
                f"--unicodes={letters}",
                "--flavor=woff2",
                "--layout-features=kern,tnum,ss03,cv11",
                f"--output-file={font}",
            ]
        )
        whole.unlink()
    tailwind = Path(sys.executable).with_name("tailwindcss")
    executable = str(tailwind) if tailwind.exists() else shutil.which("tailwindcss")
    if executable is None:
        raise SystemExit("tailwindcss is not installed: run make install")
    done = subprocess.run(
        [executable, "-i", str(web / "assets/app.css"), "-o", str(dist / "app.css"), "--minify"],
        check=False,
        cwd=root,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"the style sheet cannot be built:\n{done.stderr}")


class AssetsHook(BuildHookInterface):  # type: ignore[misc]
    """Called by hatchling for wheels and editable installs."""

    def initialize(self, version: str, build_data: dict[str, list[str]]) -> None:
        build(Path(self.root))
        build_data["artifacts"].append("src/forestall/web/static/dist/**")


if __name__ == "__main__":
    build(Path(__file__).parent)
