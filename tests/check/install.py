#!/usr/bin/python3
"""`make install DESTDIR=...` of build/release: the files that must be there and no others, that
the programs run from there, that the library can be used through its pkg-config file, and that
manual pages and the systemd unit are in order."""

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile

PROGRAMS = ["orbit-server", "orbitctl", "orbit-sim", "orbit-bench"]
PREFIX = "usr/local"
FILES = ([f"{PREFIX}/bin/{name}" for name in PROGRAMS]
         + [f"{PREFIX}/share/man/man1/{name}.1" for name in PROGRAMS]
         + [f"{PREFIX}/{path}" for path in (
             "lib/liborbit.a", "lib/pkgconfig/orbit.pc", "include/orbit.h",
             "share/man/man5/orbit.conf.5", "lib/systemd/system/orbit-server.service",
             "etc/orbit/orbit.conf")])
SECONDS_MAX = 120


class Count:
    """Cases that passed and failed."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def case(self, name, problem):
        """problem: an empty text when all is well."""
        print(f"FAILED {name}: {problem}" if problem else f"ok {name}", flush=True)
        self.passed += not problem
        self.failed += bool(problem)


def run(command, **options):
    """Returns (exit status, output)."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=SECONDS_MAX, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    return done.returncode, done.stdout.decode(errors="replace").strip()


def files_below(folder):
    found = []
    for path, _, names in os.walk(folder):
        found += [os.path.relpath(os.path.join(path, name), folder) for name in names]
    return found


def check_files(count, root):
    found = set(files_below(root))
    for path in FILES:
        count.case(f"{path} is installed", "" if path in found else "it is missing")
    extra = sorted(found - set(FILES))
    count.case("nothing else is installed", ", ".join(extra))
    with open(os.path.join(root, PREFIX, "etc/orbit/orbit.conf"), "a", encoding="utf-8") as file:
        file.write("# changed by the administrator\n")


def check_programs(count, root):
    for name in PROGRAMS:
        program = os.path.join(root, PREFIX, "bin", name)
        status, output = run([program, "--help"])
        is_good = status == 0 and name in output
        count.case(f"{name} --help", "" if is_good else f"status {status}: {output[:200]}")
    status, output = run([os.path.join(root, PREFIX, "bin/orbit-server"), "--version"])
    is_good = status == 0 and re.search(r"\d+\.\d+\.\d+", output)
    count.case("orbit-server --version", "" if is_good else f"status {status}: {output[:200]}")


def check_library(count, root, work):
    """The example of the documents, compiled against what was installed and nothing else."""
    environment = dict(os.environ, PKG_CONFIG_PATH=os.path.join(root, PREFIX, "lib/pkgconfig"))
    status, flags = run(["pkg-config", f"--define-variable=prefix={root}/{PREFIX}",
                         f"--define-variable=libdir={root}/{PREFIX}/lib",
                         f"--define-variable=includedir={root}/{PREFIX}/include",
                         "--cflags", "--libs", "orbit"], env=environment)
    count.case("pkg-config knows orbit", "" if status == 0 else flags)
    for name in ("example", "feed", "transfer"):
        program = os.path.join(work, name)
        status, output = run(["gcc", "-std=gnu17", "-Wall", "-Wextra", "-Werror",
                              f"docs/{name}.c", "-o", program] + flags.split())
        count.case(f"docs/{name}.c compiles against the installed library",
                   "" if status == 0 else output[:500])
        status, output = run([program], cwd=work)
        count.case(f"docs/{name}.c runs",
                   "" if status == 0 and output else f"{status}: {output}")
    status, output = run([os.path.join(work, "transfer")], cwd=work)
    is_good = status == 0 and "alice saves 80, bob has 120, together 200" in output
    count.case("docs/transfer.c moves money and keeps it", "" if is_good else output)
    check_feed(count, os.path.join(work, "feed"), work)


def check_feed(count, program, work):
    """docs/feed.c gives each transaction once, in whichever run."""
    status, first = run([program, "followed", "name", "anna"], cwd=work)
    is_good = status == 0 and "put name = anna" in first and "1 transactions" in first
    count.case("docs/feed.c prints what was committed", "" if is_good else first)
    status, second = run([program, "followed", "name", "otto"], cwd=work)
    is_good = (status == 0 and "put name = otto" in second and "anna" not in second
               and "1 transactions" in second)
    count.case("docs/feed.c goes on where it was", "" if is_good else second)


def check_documents(count, root):
    pages = [os.path.join(root, path) for path in FILES if "/man/" in path]
    for page in pages:
        status, output = run(["mandoc", "-T", "lint", "-W", "warning", page])
        count.case(f"{os.path.basename(page)} has no fault", "" if status == 0 else output)
    unit = os.path.join(root, PREFIX, "lib/systemd/system/orbit-server.service")
    with open(unit, encoding="utf-8") as file:
        text = file.read()
    count.case("the unit names no unknown path",
               "a placeholder is left" if re.search(r"@\w+@\B", text) else "")
    if shutil.which("systemd-analyze") is not None:
        # The unit as it would be, but with the program where it is now.
        copy = os.path.join(os.path.dirname(unit), "orbit-copy.service")
        with open(copy, "w", encoding="utf-8") as file:
            file.write(text.replace("/" + PREFIX, os.path.join(root, PREFIX)))
        status, output = run(["systemd-analyze", "verify", "--man=no", copy])
        count.case("systemd accepts the unit", "" if status == 0 else output)
        os.unlink(copy)
        return 0
    print("skipped: systemd accepts the unit: systemd-analyze is not on this machine")
    return 1


def check_second_install(count, install, root):
    status, output = run(install)
    with open(os.path.join(root, PREFIX, "etc/orbit/orbit.conf"), encoding="utf-8") as file:
        is_kept = "changed by the administrator" in file.read()
    count.case("a second install keeps the configuration",
               "" if status == 0 and is_kept else output[-300:] or "it was overwritten")


def main():
    count = Count()
    work = tempfile.mkdtemp(prefix="orbit-install-")
    os.chmod(work, stat.S_IRWXU)
    root = os.path.join(work, "root")
    install = ["make", "-s", "-C", os.environ["ORBIT_BUILD"], "install", f"DESTDIR={root}"]
    skipped = 0
    try:
        status, output = run(install)
        count.case("make install", "" if status == 0 else output[-500:])
        if status == 0:
            check_files(count, root)
            check_programs(count, root)
            check_library(count, root, work)
            skipped = check_documents(count, root)
            check_second_install(count, install, root)
    finally:
        shutil.rmtree(work)
    print(f"{count.passed} passed, {count.failed} failed"
          + (f", {skipped} skipped" if skipped else ""))
    return 1 if count.failed else 0


if __name__ == "__main__":
    sys.exit(main())
