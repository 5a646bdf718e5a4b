"""Check that the documentation is true: run by `make check`; with --write, make the generated page anew.

- docs/commands.md is what the commands say of themselves.
- Relative links and pictures in every Markdown file are there.
- The `onlooker ...` lines of the documentation use commands and options that exist.
- CHANGELOG.md begins with the version of the package, or with Unreleased.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
COMMANDS_PAGE = ROOT / "docs" / "commands.md"
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
BLOCK = re.compile(r"```(?:bash|sh|console)?\n(.*?)```", re.DOTALL)
COLUMNS = "100"


def help_text(command: Any, path: str) -> str:
    """Return the help of a command as it is printed at a width of 100 columns."""
    context = command.make_context(
        path, [], resilient_parsing=True, max_content_width=int(COLUMNS), terminal_width=int(COLUMNS)
    )
    return str(command.get_help(context)).rstrip()


def commands() -> dict[str, Any]:
    """Return every command and sub-command by its words."""
    from onlooker.cli import COMMANDS, load_command

    found: dict[str, Any] = {}
    for name in COMMANDS:
        command = load_command(name)
        inner = getattr(command, "commands", None)
        if inner:
            found.update({f"{name} {sub}": inner[sub] for sub in inner})
        else:
            found[name] = command
    return found


def commands_page(found: dict[str, Any]) -> str:
    """Render docs/commands.md."""
    parts = [
        "# Commands\n\nMade by `python scripts/check_docs.py --write` from the commands themselves; do not edit.\n"
    ]
    for name, command in found.items():
        parts.append(f"## onlooker {name}\n\n```text\n{help_text(command, f'onlooker {name}')}\n```\n")
    return "\n".join(parts)


def markdown_files() -> list[Path]:
    """Return every tracked kind of page."""
    return sorted(
        [
            *ROOT.glob("*.md"),
            *(ROOT / "docs").rglob("*.md"),
            *(ROOT / "benchmarks").glob("*.md"),
            *(ROOT / "examples").rglob("*.md"),
        ]
    )


def broken_links(page: Path) -> list[str]:
    """Return what a page links to that is not there."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = re.sub(r"`[^`]*`", "", text)
    targets = [target for target in LINK.findall(text) if "://" not in target and not target.startswith("mailto:")]
    return [
        f"{page.relative_to(ROOT)}: link to {target}, which is not there"
        for target in targets
        if not (page.parent / target).exists()
    ]


def unknown_options(page: Path, found: dict[str, Any]) -> list[str]:
    """Return the `onlooker` lines of a page's code blocks that name an unknown command or option."""
    problems = []
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            words = (
                shlex.split(line.removeprefix("$ "), comments=True) if line.lstrip("$ ").startswith("onlooker ") else []
            )
            if not words or words[1].startswith("-"):
                continue
            name = next((name for name in found if words[1 : 1 + len(name.split())] == name.split()), None)
            if name is None:
                problems.append(f"{page.relative_to(ROOT)}: no such command: {line.strip()}")
                continue
            known = {
                option for parameter in found[name].params for option in (*parameter.opts, *parameter.secondary_opts)
            } | {"--help"}
            problems += [
                f"{page.relative_to(ROOT)}: no option {word} in: {line.strip()}"
                for word in (part.partition("=")[0] for part in words[2:])
                if word.startswith("-") and word not in known
            ]
    return problems


def changelog_problem() -> list[str]:
    """Return what is wrong with the first heading of the changelog."""
    from onlooker import __version__

    first = next(
        line for line in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines() if line.startswith("## ")
    )
    return (
        []
        if first.startswith(("## Unreleased", f"## {__version__}"))
        else [f"CHANGELOG.md: begins with {first!r}, the package is {__version__}"]
    )


def main() -> int:
    """Run all checks; returns the exit code."""
    os.environ["COLUMNS"] = COLUMNS
    found = commands()
    page = commands_page(found)
    if "--write" in sys.argv:
        COMMANDS_PAGE.write_text(page, encoding="utf-8")
    problems = changelog_problem()
    if not COMMANDS_PAGE.is_file() or COMMANDS_PAGE.read_text(encoding="utf-8") != page:
        problems.append("docs/commands.md is stale: run python scripts/check_docs.py --write")
    for path in markdown_files():
        problems += broken_links(path) + unknown_options(path, found)
    for problem in problems:
        print(problem)
    print(f"documentation: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
