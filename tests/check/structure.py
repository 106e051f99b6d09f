#!/usr/bin/python3
"""Checks of the source tree itself: layout, include direction, words, sizes, links.

Each check is a function from a tree ({path: text}) to a list of problems, and each has a canary:
a small tree with one planted fault which the check must report. A check and its canary are one
case each. The tree is what git tracks.

Usage: structure.py [ROOT]
"""

import os
import re
import subprocess
import sys

# Bottom up. A file may include its own layer and those before it.
LAYERS = ["engine", "wal", "lsm", "txn", "models", "query", "net", "tools"]
# Shard code: memory through mem_*, and engine/base/poison.h as the last include.
POISONED = ["wal", "lsm", "txn", "models", "query", "net"]
FREE = ["tests", "perf", "docs"]  # May include anything.
COLUMNS_MAX = 100
LINES_MAX = 1200
README_LINES_MAX = 80
CODE = (".c", ".h")
SCRIPTS = (".sh", ".py")
# Hosts which a file may name; package hosts are not among them, so that a build never depends on
# one by accident and a lock file carries no addresses.
HOSTS = {"127.0.0.1", "localhost", "example.com", "example.org"}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
URL = re.compile(r"\b(?:https?|git|ssh|ftp)://([A-Za-z0-9.\-]+)")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
MARKERS = re.compile(r"\b(T[O]DO|F[I]XME|H[A]CK|X[X]X)\b|^<{7} |^>{7} ", re.M)

CHECKS = []


def check(canary):
    """Register a check with the tree that it must object to."""
    def register(function):
        CHECKS.append((function, canary))
        return function
    return register


def is_code(path):
    return path.endswith(CODE)


def top(path):
    return path.split("/", 1)[0] if "/" in path else ""


@check({"wal/writer.c": '#include "net/resp.h"\n'})
def includes_point_only_downward(tree):
    problems = []
    for path, text in tree.items():
        layer = top(path)
        if not is_code(path) or layer in FREE:
            continue
        for included in INCLUDE.findall(text):
            target = top(included)
            if target in FREE:
                problems.append(f"{path}: includes {included} of {target}/")
            elif layer == "include":
                problems.append(f"{path}: the public header includes {included}")
            elif target in LAYERS and layer in LAYERS:
                if LAYERS.index(target) > LAYERS.index(layer):
                    problems.append(f"{path}: {layer}/ includes {included} of the layer above")
    return problems


@check({"wal/writer.c": '#include "engine/base/poison.h"\n#include "wal/writer.h"\n'})
def shard_code_includes_poison_last(tree):
    problems = []
    for path, text in tree.items():
        if path.endswith(".c") and top(path) in POISONED:
            included = INCLUDE.findall(text)
            if not included or included[-1] != "engine/base/poison.h":
                problems.append(f"{path}: engine/base/poison.h is not the last include")
    return problems


@check({"lsm/table.h": "struct table;\n"})
def headers_have_a_guard_and_a_purpose(tree):
    problems = []
    for path, text in tree.items():
        if path.endswith(".h"):
            # The public header must do for compilers that we do not know.
            guard = "#ifndef " if top(path) == "include" else "#pragma once"
            if guard not in text:
                problems.append(f"{path}: no {guard}")
            if not text.startswith("/*"):
                problems.append(f"{path}: no comment at the top that says what it is")
    return problems


@check({"lsm/table.c": "int a;    \nint b;\tint c;\n" + "x" * (COLUMNS_MAX + 1) + "\n"})
def lines_are_short_and_clean(tree):
    problems = []
    for path, text in tree.items():
        if not path.endswith(CODE + SCRIPTS):
            continue
        if text and not text.endswith("\n"):
            problems.append(f"{path}: the last line has no end")
        for number, line in enumerate(text.split("\n"), 1):
            if len(line) > COLUMNS_MAX:
                problems.append(f"{path}:{number}: {len(line)} columns")
            if line != line.rstrip():
                problems.append(f"{path}:{number}: space at the end")
            if "\t" in line:
                problems.append(f"{path}:{number}: a tab")
    return problems


@check({"lsm/table.c": "\n" * (LINES_MAX + 1)})
def files_are_not_too_long(tree):
    return [f"{path}: {text.count(chr(10))} lines" for path, text in tree.items()
            if path.endswith(CODE + SCRIPTS) and text.count("\n") > LINES_MAX]


@check({"net/resp.c": "/* T" + "ODO: later */\n"})
def no_file_holds_a_marker_of_unfinished_work(tree):
    return [f"{path}: {match.group(0).strip()}" for path, text in tree.items()
            for match in MARKERS.finditer(text)]


@check({"tests/compat/package-lock.json": '"resolved": "https:' + '//packages.invalid/a'})
def no_file_names_a_package_host(tree):
    problems = []
    for path, text in tree.items():
        for host in URL.findall(text):
            if host not in HOSTS:
                problems.append(f"{path}: names the host {host}")
        if os.path.basename(path) == "package-lock.json" and '"resolved"' in text:
            problems.append(f"{path}: holds resolved addresses")
    return problems


@check({"lsm/a.c": "", "lsm/b.c": "", "wal/README.md": "\n" * (README_LINES_MAX + 1)})
def every_folder_has_a_readme_of_a_page(tree):
    sources = {}
    for path in tree:
        if path.endswith(CODE + SCRIPTS):
            folder = os.path.dirname(path)
            sources[folder] = sources.get(folder, 0) + 1
    problems = []
    for folder, count in sorted(sources.items()):
        # A unit test folder mirrors its layer; a folder with one file needs no list of files.
        if folder.startswith("tests/unit/") or count < 2:
            continue
        # The parts of a layer may share the layer's page.
        if not {f"{folder}/README.md", f"{top(folder + '/')}/README.md"} & set(tree):
            problems.append(f"{folder or '.'}: no README.md")
    for path, text in tree.items():
        if path.endswith("/README.md") and text.count("\n") > README_LINES_MAX:
            problems.append(f"{path}: more than {README_LINES_MAX} lines")
    return problems


@check({"README.md": "See [the tour](docs/NONE.md).\n"})
def links_between_documents_lead_somewhere(tree):
    folders = {os.path.dirname(path) for path in tree}
    folders |= {os.path.dirname(folder) for folder in folders}
    problems = []
    for path, text in tree.items():
        if not path.endswith(".md"):
            continue
        for link in LINK.findall(text):
            if "://" in link:
                continue
            target = os.path.normpath(os.path.join(os.path.dirname(path), link))
            if target not in tree and target not in folders:
                problems.append(f"{path}: links to {link}, which is not there")
    return problems


@check({"docs/TOUR.md": "`wal/none.c` does it.\n", "wal/writer.c": ""})
def files_named_in_documents_exist(tree):
    named = re.compile(r"`((?:" + "|".join(LAYERS + FREE) + r")/[\w./\-]+\.(?:c|h|sh|py|md))`")
    return [f"{path}: names {name}, which is not there"
            for path, text in tree.items() if path.endswith(".md")
            for name in named.findall(text) if name not in tree]


@check({"docs/TOUR.md": "It calls `wal_none_such` then.\n", "wal/writer.c": "wal_other();\n"})
def functions_named_in_documents_exist(tree):
    words = set()
    for path, text in tree.items():
        if is_code(path):
            words |= set(re.findall(r"[a-z0-9_]+", text))
    return [f"{path}: names {name}, which is nowhere in the code"
            for path, text in tree.items() if path.startswith("docs/") and path.endswith(".md")
            and path != "docs/protocol/resp.md"
            for name in re.findall(r"`([a-z][a-z0-9]*(?:_[a-z0-9]+)+)`", text) if name not in words]


@check({"wal/writer.c": "", "wal/local.mk": "wal_sources += wal/reader.c\n"})
def every_source_file_is_built(tree):
    fragments = "\n".join(text for path, text in tree.items()
                          if path.endswith("local.mk") or path == "Makefile.am")
    words = set(re.split(r"[\s=]+", fragments))
    return [f"{path}: no local.mk names it" for path in tree
            if path.endswith(".c") and top(path) in LAYERS and path not in words
            and not path.endswith(".bpf.c")]


@check({"tests/tool.py": "def broken(:\n"})
def scripts_parse(tree):
    problems = []
    for path, text in tree.items():
        first = text.split("\n", 1)[0]
        if path.endswith(".py") or first.endswith("python3"):
            try:
                compile(text, path, "exec")
            except SyntaxError as error:
                problems.append(f"{path}: {error}")
        elif first in ("#!/bin/sh", "#!/bin/bash"):
            shell = first[2:]
            run = subprocess.run([shell, "-n"], input=text.encode(), stderr=subprocess.PIPE)
            if run.returncode != 0:
                problems.append(f"{path}: {run.stderr.decode().strip()}")
    return problems


@check({"lsm/table.c": "int f( void ){return 1;}\n"})
def code_is_formatted(tree):
    problems = []
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    style = os.path.join(root, ".clang-format")
    for path, text in tree.items():
        if not is_code(path):
            continue
        run = subprocess.run(["clang-format-14", f"--style=file:{style}",
                              f"--assume-filename={path}"], input=text.encode(),
                             stdout=subprocess.PIPE, check=True)
        formatted = run.stdout.decode().split("\n")
        for number, (is_now, wanted) in enumerate(zip(text.split("\n"), formatted), 1):
            if is_now != wanted:
                problems.append(f"{path}:{number}: clang-format wants: {wanted.strip()[:70]}")
                break
    return problems


def tracked_tree(root):
    # A clone may belong to another user than the one who checks it.
    command = ["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z"]
    listing = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode()
    tree = {}
    for path in listing.split("\0"):
        full = os.path.join(root, path)
        if not path or not os.path.isfile(full):
            continue
        with open(full, "rb") as file:
            data = file.read()
        if b"\0" not in data and not path.startswith("tests/fuzz/corpus/"):
            tree[path] = data.decode("utf-8", errors="replace")
    return tree


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "..", "..")
    tree = tracked_tree(root)
    passed = failed = 0
    for function, canary in CHECKS:
        problems = function(tree)
        missed = [] if function(canary) else ["the planted fault was not found"]
        for name, found in ((function.__name__, problems),
                            (f"{function.__name__}_canary", missed)):
            print(("FAILED " if found else "ok ") + name)
            for problem in found:
                print("    " + problem)
            passed += not found
            failed += bool(found)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
